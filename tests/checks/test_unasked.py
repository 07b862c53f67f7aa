"""What a rule does that nobody asked for, whatever a sample of requests shows."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.checks import unasked

ROUTE = {"destination": {"host": "web", "subset": "v1"}}
SPLIT = [{**ROUTE, "weight": 99}, {"destination": {"host": "web", "subset": "v2"}, "weight": 1}]


def found(*rules: dict[str, Any], **allowed: Any) -> str:
    seen = unasked.found({"spec": {"http": list(rules)}}, **allowed)
    return seen.seen if seen else ""


@pytest.mark.parametrize(
    "match",
    [
        {"uri": {"exact": "/"}},
        {"method": {"exact": "GET"}},
        {"headers": {"x-team": {"exact": "internal"}, "user-agent": {"prefix": "curl"}}},
        {"withoutHeaders": {"cookie": {}}},
        {"sourceLabels": {"app": "page"}},
        {"queryParams": {"a": {"exact": "b"}}},
    ],
)
def test_a_match_that_the_task_does_not_name_is_told(match: dict[str, Any]) -> None:
    assert "is only for requests with a certain" in found({"name": "team", "match": [match], "route": [ROUTE]}, headers=("x-team",))


@pytest.mark.parametrize(
    "match",
    [
        {"headers": {"X-Team": {"exact": "internal"}}},
        {"withoutHeaders": {"x-team": {}}},
        {"uri": {"prefix": "/"}},
        {"gateways": ["web"], "authority": {"exact": "shop.example.com"}},
    ],
)
def test_a_match_by_what_the_task_names_or_that_leaves_nobody_out_is_none(match: dict[str, Any]) -> None:
    assert not found({"match": [match], "route": [ROUTE]}, {"route": [ROUTE]}, headers=("x-team",))


def test_a_division_is_for_the_last_rule_and_only_where_it_is_asked_for() -> None:
    assert "divides its requests between web v1 and web v2" in found({"route": SPLIT})
    assert not found({"route": SPLIT}, splits=True)
    assert found({"match": [{"uri": {"prefix": "/"}}], "route": SPLIT}, {"route": SPLIT}, splits=True)
    assert not found({"route": [{**ROUTE, "weight": 100}, {**SPLIT[1], "weight": 0}]})


def test_a_fault_is_told_unless_it_is_asked_for() -> None:
    rule = {"fault": {"abort": {"httpStatus": 500, "percentage": {"value": 0.1}}}, "route": [ROUTE]}
    assert "injects a fault" in found(rule)
    assert not found(rule, faults=True)


def test_what_a_rule_does_besides_is_told_unless_it_is_asked_for() -> None:
    assert "cuts off answers" in found({"timeout": "1s", "route": [ROUTE]})
    assert not found({"timeout": "1s", "retries": {"attempts": 2}, "route": [ROUTE]}, limits=True)
    assert "a copy of each request" in found({"mirror": {"host": "web"}, "route": [ROUTE]}, limits=True)
    assert "changes headers" in found({"route": [{**ROUTE, "headers": {"response": {"set": {"x-version": "v2"}}}}]})
    assert "answers by itself" in found({"directResponse": {"status": 200}})
    assert not found({"directResponse": {"status": 403}}, answers=True)


TEAM = {"headers": {"X-Team": {"exact": "internal"}}}
OTHER = {"route": [{"destination": {"host": "web", "subset": "v2"}}]}
EVERYBODY = {"route": [ROUTE]}


@pytest.mark.parametrize(
    "rules",
    [
        [{"match": [TEAM, {"headers": {"x-team": {"exact": "staff"}}}], **OTHER}],
        [{"match": [{"headers": {"x-team": {"regex": "(internal|staff)"}}}], **OTHER}],
        [{"name": "a", "match": [TEAM], **OTHER}, {"name": "b", "match": [{"headers": {"x-team": {"exact": "staff"}}}], **OTHER}],
    ],
)
def test_a_second_value_that_gets_what_the_task_gives_to_one_is_told(rules: list[dict[str, Any]]) -> None:
    told = unasked.also_for({"spec": {"http": [*rules, EVERYBODY]}}, "x-team", "internal")
    assert told
    assert "x-team: staff" in told.seen


@pytest.mark.parametrize(
    "rules",
    [
        [{"match": [TEAM], **OTHER}],
        [{"match": [{"headers": {"x-team": {"regex": "internal"}}}], **OTHER}],
        [{"match": [{"headers": {"x-team": {"exact": "staff"}}}], **EVERYBODY}, {"match": [TEAM], **OTHER}],
        [{"match": [{"headers": {"x-team": {"regex": "("}}}], **OTHER}],
    ],
)
def test_another_value_that_gets_what_everybody_gets_is_harmless(rules: list[dict[str, Any]]) -> None:
    assert unasked.also_for({"spec": {"http": [*rules, EVERYBODY]}}, "x-team", "internal") is None
