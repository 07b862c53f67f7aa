"""From VirtualServices to the retry panel's numbers and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.kube import manifests
from meshcourse.mesh.rules import retry_chain
from meshcourse.mesh.rules.retry_chain import Retrying

CHAIN = Path(__file__).parents[2] / "notebooks" / "manifests" / "08_faults_retries" / "10-retries-everywhere.yaml"


def rule(**fields: object) -> dict[str, object]:
    return {"spec": {"http": [{"route": [], **fields}]}}


def test_the_chapters_chain_retries_twice_at_each_hop_without_a_fault() -> None:
    front, middle, back = manifests.load(CHAIN)
    assert [each["metadata"]["name"] for each in (front, middle, back)] == ["front", "middle", "back"]
    assert retry_chain.described_by(front, middle, back) == Retrying(0.0, 2, 2)


@pytest.mark.parametrize("wanted", [Retrying(0.0, 0, 0), Retrying(50.0, 3, 0), Retrying(100.0, 10, 10)])
def test_what_is_written_is_read_again(wanted: Retrying) -> None:
    front, middle = (rule(retries=retry_chain.retries(each)) for each in (wanted.gateway, wanted.first))
    assert retry_chain.described_by(front, middle, rule(fault=retry_chain.fault(wanted.fault))) == wanted


def test_retries_that_a_503_does_not_bring_about_count_as_none() -> None:
    unasked, connection = rule(), rule(retries={"attempts": 3, "retryOn": "connect-failure"})
    assert retry_chain.described_by(unasked, connection, rule()) == Retrying(0.0, 0, 0)


def test_no_condition_is_written_where_nothing_is_retried() -> None:
    assert retry_chain.retries(0) == {"attempts": 0}, "Istio's webhook refuses a retryOn with 0 attempts"


@pytest.mark.parametrize(
    ("status", "conditions", "wanted"),
    [
        (503, "5xx", True),
        (500, "gateway-error", False),
        (503, "gateway-error", True),
        (503, "gateway-error,connect-failure,refused-stream", True),
        (429, "5xx", False),
        (429, "5xx,429", True),
        (409, "retriable-4xx", True),
        (404, "retriable-4xx", False),
        (503, "connect-failure, refused-stream", False),
        (503, "", False),
        (503, "x-envoy-5xx-like", False),
    ],
)
def test_it_is_known_what_envoy_retries(status: int, conditions: str, wanted: bool) -> None:  # noqa: FBT001 - a table
    assert retry_chain.retried(status, conditions) is wanted


def test_attempts_count_where_their_condition_meets_the_fault() -> None:
    gateway = rule(retries={"attempts": 4, "retryOn": "gateway-error"})
    assert retry_chain.described_by(gateway, rule(), rule(fault=retry_chain.fault(50))) == Retrying(50.0, 4, 0)
    busy = rule(fault={"abort": {"httpStatus": 429, "percentage": {"value": 50}}})
    assert retry_chain.described_by(gateway, gateway, busy) == Retrying(50.0, 0, 0)


def test_rules_that_the_formula_is_not_for_say_why() -> None:
    short = rule(retries={"attempts": 2, "retryOn": "5xx", "perTryTimeout": "100ms"})
    slow = rule(
        fault={"abort": {"httpStatus": 503, "percentage": {"value": 50}}, "delay": {"fixedDelay": "2s", "percentage": {"value": 100}}}
    )
    (why,) = retry_chain.described_by(short, rule(), slow).unlike
    assert why == "perTryTimeout 100ms is not longer than the fault's delay, 2s"
    some = {"spec": {"http": [{"match": [{"uri": {"prefix": "/x"}}], "route": []}, {"route": []}]}}
    assert "middle has rules for some requests only" in str(retry_chain.described_by(rule(), some, rule()).unlike)
    fine = rule(fault={"abort": {"httpStatus": 200, "percentage": {"value": 50}}})
    assert "not a failed HTTP answer" in str(retry_chain.described_by(rule(), rule(), fine).unlike)
    assert not retry_chain.described_by(short, rule(), rule(fault=retry_chain.fault(50))).unlike


def test_what_else_the_retries_and_the_fault_say_stays() -> None:
    now = {"attempts": 2, "retryOn": "gateway-error", "perTryTimeout": "1s"}
    assert retry_chain.retries(5, now) == {**now, "attempts": 5}
    assert retry_chain.retries(5, {"retryOn": "connect-failure"}, 429)["retryOn"] == "connect-failure,429"
    held = {"abort": {"httpStatus": 429, "percentage": {"value": 5}}, "delay": {"fixedDelay": "1s"}}
    assert retry_chain.fault(40, held) == {**held, "abort": {"httpStatus": 429, "percentage": {"value": 40}}}
