"""Which route Envoy takes, and why not the others: tables of routes and requests."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.measure import route_matching
from meshcourse.measure.route_matching import Asked, Verdict

HOST = "shop.example.com"


def route(name: str, match: dict[str, Any], subset: str = "v1") -> dict[str, Any]:
    return {"name": name, "match": match, "route": {"cluster": f"outbound|80|{subset}|web.canary.svc.cluster.local"}}


def tables(*routes: dict[str, Any], domains: tuple[str, ...] = (HOST, f"{HOST}:*"), name: str = "http.8080") -> list[dict[str, Any]]:
    return [{"name": name, "virtualHosts": [{"domains": list(domains), "routes": list(routes)}]}, {"name": "http.15090"}]


def header(match: dict[str, Any], name: str = "x-team") -> dict[str, Any]:
    return {"prefix": "/", "headers": [{"name": name, **match}]}


REST = route("rest", {"prefix": "/"})


def verdicts(asked: Asked, *routes: dict[str, Any]) -> list[tuple[Verdict, str]]:
    return [(step.verdict, step.why) for step in route_matching.steps(tables(*routes, REST), asked)]


@pytest.mark.parametrize(
    ("match", "asked", "why"),
    [
        ({"path": "/login"}, Asked(HOST, "/logout"), "the path /logout is not /login"),
        ({"prefix": "/api/"}, Asked(HOST, "/"), "the path / does not begin with /api/"),
        ({"pathSeparatedPrefix": "/api"}, Asked(HOST, "/apis"), "the path /apis is not below /api"),
        ({"safeRegex": {"regex": "/v[0-9]"}}, Asked(HOST, "/v12"), "the path /v12 does not match /v[0-9] as a whole"),
        (header({"stringMatch": {"exact": "internal"}}), Asked(HOST), "there is no header x-team"),
        (header({"stringMatch": {"exact": "internal"}}), Asked(HOST, headers={"x-team": "Internal"}), "x-team: Internal is not internal"),
        (header({"stringMatch": {"prefix": "in"}}), Asked(HOST, headers={"x-team": "out"}), "x-team: out does not begin with in"),
        (header({"stringMatch": {"suffix": "al"}}), Asked(HOST, headers={"x-team": "out"}), "x-team: out does not end with al"),
        (header({"stringMatch": {"contains": "er"}}), Asked(HOST, headers={"x-team": "out"}), "x-team: out does not contain er"),
        (
            header({"stringMatch": {"safeRegex": {"regex": r"(.*;\s*)?beta=yes(;.*)?"}}}, "cookie"),
            Asked(HOST, headers={"cookie": "alphabeta=yes"}),
            r"cookie: alphabeta=yes does not match (.*;\s*)?beta=yes(;.*)? as a whole",
        ),
        (header({"presentMatch": True}), Asked(HOST), "there is no header x-team"),
        (header({"presentMatch": False}), Asked(HOST, headers={"x-team": "a"}), "there is a header x-team"),
        (
            header({"stringMatch": {"exact": "internal"}, "invertMatch": True}),
            Asked(HOST, headers={"x-team": "internal"}),
            "x-team is internal, which is excluded",
        ),
        (header({"stringMatch": {"exact": "POST"}}, ":method"), Asked(HOST), ":method: GET is not POST"),
    ],
)
def test_route_is_passed_over_for_its_first_condition_that_is_not_met(match: dict[str, Any], asked: Asked, why: str) -> None:
    assert verdicts(asked, route("chosen few", match)) == [(Verdict.PASSED_OVER, why), (Verdict.TAKEN, "")]


@pytest.mark.parametrize(
    ("match", "asked"),
    [
        ({"path": "/login"}, Asked(HOST, "/login?next=/")),
        ({"path": "/Login", "caseSensitive": False}, Asked(HOST, "/logIN")),
        ({"pathSeparatedPrefix": "/api"}, Asked(HOST, "/api")),
        ({"safeRegex": {"regex": "/v[0-9]"}}, Asked(HOST, "/v1")),
        (header({"stringMatch": {"exact": "INTERNAL", "ignoreCase": True}}), Asked(HOST, headers={"x-team": "internal"})),
        (header({"stringMatch": {"safeRegex": {"regex": ".*;beta=yes"}}}, "cookie"), Asked(HOST, headers={"cookie": "a=1;beta=yes"})),
        (header({"stringMatch": {"exact": "internal"}, "invertMatch": True}), Asked(HOST, headers={"x-team": "public"})),
        (header({"presentMatch": True}), Asked(HOST, headers={"x-team": ""})),
    ],
)
def test_first_route_that_fits_decides_and_the_rest_is_not_asked(match: dict[str, Any], asked: Asked) -> None:
    assert verdicts(asked, route("chosen few", match)) == [(Verdict.TAKEN, ""), (Verdict.NOT_ASKED, "")]


@pytest.mark.parametrize(
    ("match", "why"),
    [
        ({"prefix": "/", "runtimeFraction": {}}, "it depends on runtimeFraction"),
        (header({"rangeMatch": {"start": "1"}}), "it depends on x-team in a way that is not known here"),
        (header({"stringMatch": {"custom": {}}}), "it depends on x-team in a way that is not known here"),
        (header({"stringMatch": {"safeRegex": {"regex": "("}}}), "it depends on the regular expression ("),
    ],
)
def test_what_is_not_known_is_never_guessed(match: dict[str, Any], why: str) -> None:
    asked = Asked(HOST, headers={"x-team": "internal"})
    assert verdicts(asked, route("odd", match)) == [(Verdict.CANNOT_TELL, why), (Verdict.NOT_ASKED, "")]


@pytest.mark.parametrize(
    ("domains", "host", "found"),
    [
        ((HOST,), HOST, True),
        ((HOST,), HOST.upper(), True),
        ((HOST,), f"{HOST}:31718", True),
        (("*.example.com",), HOST, True),
        (("*.example.com",), "example.com", False),
        (("*",), "127.0.0.1:31718", True),
        ((HOST,), "other.example.com", False),
    ],
)
def test_host_header_finds_its_virtual_host(domains: tuple[str, ...], host: str, *, found: bool) -> None:
    assert bool(route_matching.steps(tables(REST, domains=domains), Asked(host))) is found


def test_longest_wildcard_wins() -> None:
    every = tables(REST, domains=("*",))
    every[0]["virtualHosts"].append({"domains": ["*.example.com"], "routes": [route("mine", {"prefix": "/"})]})
    assert [step.name for step in route_matching.steps(every, Asked(HOST))] == ["mine"]


def test_gateway_without_any_http_table_has_no_route() -> None:
    assert route_matching.steps([{"name": "http.15090"}], Asked(HOST)) == ()


def test_learners_routes_are_those_of_the_own_port() -> None:
    hers, his = route("hers", {"prefix": "/"}), route("his", {"prefix": "/"})
    every = [*tables(REST), *tables(hers, name="http.20001"), *tables(his, name="http.20002")]
    assert [[step.name for step in route_matching.steps(every, Asked(HOST), port)] for port in (80, 20001, 20002)] == [
        ["rest"],
        ["hers"],
        ["his"],
    ]
