"""The weight panel with various rules: the observed shares are the mesh's, or the panel says that they are unknown."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from waiting import until

from meshcourse.mesh import propagation
from meshcourse.traffic.results import Result
from meshcourse.widgets.models.standing import ANSWERS, GATEWAY, Standing
from meshcourse.widgets.panels.weights import WeightPanel


@pytest.fixture(scope="module")
def target(deployed_canary: Any) -> Any:
    """The canary's namespace with more Services, subsets of other names and a DestinationRule for one of the Services."""
    canary = deployed_canary
    service = canary.cluster.get("-n", canary.namespace, "service", "web")["spec"]["ports"][0]
    for name, version in (("web-primary", "v1"), ("web-canary", "v2"), ("front", "v1")):
        made = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "ports": [{"name": "http", "port": 80, "targetPort": service["targetPort"]}],
                "selector": {"app": "web", "version": version},
            },
        }
        canary.cluster.apply(canary.namespace, json.dumps(made))
    subsets = {"v1": "v1", "v2": "v2", "v3": "v2", "stable": "v1", "canary": "v2", "one": "v2", "two": "v1"}
    for host, wanted in (("web", subsets), ("front", {"v1": "v1"})):
        rule = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": host},
            "spec": {"host": host, "subsets": [{"name": name, "labels": {"version": label}} for name, label in wanted.items()]},
        }
        canary.cluster.apply(canary.namespace, json.dumps(rule))
    return canary


@pytest.fixture
def given(target: Any) -> Iterator[Any]:
    """Apply a VirtualService `web` of these http routes and wait until the gateway has it; the panel, opened by the test."""
    opened: list[WeightPanel] = []

    def make(*http: dict[str, Any], name: str = "web", panel: dict[str, Any] | None = None, **spec: Any) -> WeightPanel:
        put(target, name, {"hosts": ["*"], "gateways": ["web"], **spec, "http": list(http)})
        propagation.wait(target.connection, target.namespace, timeout=8.0)
        opened.append(WeightPanel(target.connection, namespace=target.namespace, virtual_service=name, **(panel or {})))
        return opened[-1].open()

    yield make
    for panel in opened:
        panel.close()
    target.cluster.kubectl("-n", target.namespace, "delete", "virtualservice", "--all")


def put(canary: Any, name: str, spec: dict[str, Any]) -> None:
    made = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name}, "spec": spec}
    canary.cluster.apply(canary.namespace, json.dumps(made))


def to(host: str, weight: int | None = None, subset: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"destination": {"host": host, **({"subset": subset} if subset else {})}}
    return made if weight is None else {**made, "weight": weight}


def route(*destinations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"route": list(destinations), **more}


def said(panel: WeightPanel) -> str:
    return html.unescape(f"{panel.widgets.rule.value} {panel.widgets.error.value}")


@pytest.mark.cluster
def test_two_services_by_host_are_observed_by_what_the_gateway_sent(given: Any) -> None:
    panel = given(route(to("web-primary", 80), to("web-canary", 20)))
    assert list(panel.widgets.sliders) == ["web-primary", "web-canary"]
    panel.start(rate=120)
    assert 0.2 in panel.wait_observed("web-canary", 0.2, within=20)
    until(lambda: "The answers name v1, v2, not these destinations" in said(panel))


@pytest.mark.cluster
def test_a_destination_without_a_subset_gets_all(given: Any) -> None:
    panel = given(route(to("web")))
    panel.start(rate=60)
    assert panel.wait_observed("web", 1.0, within=20).share == 1.0


@pytest.mark.cluster
def test_subsets_of_any_name_are_observed(given: Any) -> None:
    panel = given(route(to("web", 75, "stable"), to("web", 25, "canary")))
    panel.start(rate=120)
    panel.wait_observed("canary", 0.25, within=20)


@pytest.mark.cluster
def test_a_subset_whose_pods_call_themselves_by_the_other_name_is_not_mistaken(target: Any, given: Any) -> None:
    """Subset v1 has the pods that answer v2, and the reverse: counted by their answers, the shares would be swapped."""
    subsets = [{"name": "v1", "labels": {"version": "v2"}}, {"name": "v2", "labels": {"version": "v1"}}]
    patch = json.dumps({"spec": {"subsets": subsets}})
    before = json.dumps({"spec": {"subsets": target.cluster.get("-n", target.namespace, "destinationrule", "web")["spec"]["subsets"]}})
    rule = ["-n", target.namespace, "patch", "destinationrule", "web", "--type=merge", "-p"]
    target.cluster.kubectl(*rule, patch)
    try:
        panel = given(route(to("web", 90, "v1"), to("web", 10, "v2")))
        panel.start(rate=120)
        until(lambda: "The answers name other destinations than the gateway" in said(panel))
        assert panel.wait_observed("v1", 0.9, within=20).share > 0.5
    finally:
        target.cluster.kubectl(*rule, before)


@pytest.mark.cluster
def test_two_hosts_with_one_subset_name_are_two_destinations(given: Any) -> None:
    panel = given(route(to("web", 60, "v1"), to("front", 40, "v1")))
    assert list(panel.widgets.sliders) == ["web v1", "front v1"]
    panel.widgets.sliders["front v1"].value = 70
    until(lambda: panel.snapshot().weights == {"web v1": 30, "front v1": 70})
    assert not panel.widgets.error.value
    panel.start(rate=120)
    panel.wait_observed("front v1", 0.7, within=20)


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("weights", "percent", "words"),
    [((900, 100), (90, 10), "v1 90.0 %, v2 10.0 %"), ((50, 49), (51, 49), "v1 50.5 %, v2 49.5 %"), ((90, 20), (82, 18), "v1 81.8 %")],
)
def test_weights_are_relative(given: Any, weights: tuple[int, int], percent: tuple[int, int], words: str) -> None:
    panel = given(route(to("web", weights[0], "v1"), to("web", weights[1], "v2")))
    assert tuple(slider.value for slider in panel.widgets.sliders.values()) == percent
    assert words in said(panel)
    assert tuple(panel.snapshot().weights.values()) == weights, "what nobody moved is not written"
    panel.start(rate=100)
    panel.wait_observed("v2", weights[1] / sum(weights), within=20)
    panel.widgets.sliders["v2"].value = 30
    until(lambda: panel.snapshot().weights == {"v1": 70, "v2": 30})
    until(lambda: "relative" not in said(panel))
    panel.widgets.rollback.click()
    until(lambda: tuple(panel.snapshot().weights.values()) == weights)


@pytest.mark.cluster
def test_a_rule_for_the_sidecars_alone_is_read_by_no_gateway_and_that_is_said(given: Any) -> None:
    panel = given(route(to("web", 90, "v1"), to("web", 10, "v2")), hosts=["web"], gateways=["mesh"])
    until(lambda: "No gateway reads VirtualService web: it is for the sidecars alone" in said(panel))


@pytest.mark.cluster
def test_a_rule_for_another_host_is_asked_for_that_host(given: Any) -> None:
    panel = given(route(to("web", 60, "v1"), to("web", 40, "v2")), hosts=["shop.example.com"])
    panel.start(rate=100)
    panel.wait_observed("v2", 0.4, within=20)
    assert not panel.widgets.error.value
    other = given(route(to("web", 60, "v1"), to("web", 40, "v2")), hosts=["shop.example.com"], panel={"host": "other.example.com"})
    until(lambda: "The rule is for shop.example.com; the panel asks for other.example.com." in said(other))


@pytest.mark.cluster
def test_a_rule_that_was_away_is_back(target: Any, given: Any) -> None:
    panel = given(route(to("web", 90, "v1"), to("web", 10, "v2"), name="split"))
    panel.start(rate=30)
    target.cluster.kubectl("-n", target.namespace, "delete", "virtualservice", "web")
    panel.widgets.sliders["v2"].value = 40
    until(lambda: "There is no VirtualService web" in said(panel))
    put(target, "web", {"hosts": ["*"], "gateways": ["web"], "http": [route(to("web", 90, "v1"), to("web", 10, "v2"), name="split")]})
    until(lambda: "There is no VirtualService web" not in said(panel))
    assert {name: slider.value for name, slider in panel.widgets.sliders.items()} == {"v1": 90, "v2": 10}
    until(lambda: "Last failed request, at " in said(panel), within=5)
    panel.wait_observed("v2", 0.1, within=20)


@pytest.mark.cluster
def test_a_third_destination_gets_a_slider_and_keeps_its_part(target: Any, given: Any) -> None:
    panel = given(route(to("web", 90, "v1"), to("web", 10, "v2"), name="split"))
    spec = {"hosts": ["*"], "gateways": ["web"]}
    put(target, "web", {**spec, "http": [route(to("web", 60, "v1"), to("web", 20, "v2"), to("web", 20, "v3"), name="split")]})
    panel.widgets.sliders["v2"].value = 50  # before the panel has seen the third
    until(lambda: list(panel.widgets.sliders) == ["v1", "v2", "v3"])
    assert panel.snapshot().weights in ({"v1": 60, "v2": 20, "v3": 20}, {"v1": 50, "v2": 25, "v3": 25})
    panel.widgets.sliders["v3"].value = 50
    until(lambda: panel.snapshot().weights["v3"] == 50)
    assert sum(panel.snapshot().weights.values()) == 100
    until(lambda: not panel.widgets.error.value)
    assert len(panel.widgets.figure.data) == 3 * 5 + 6


@pytest.mark.cluster
def test_routes_without_a_name_are_offered_and_may_be_chosen(given: Any) -> None:
    beta = {"match": [{"headers": {"x-beta": {"exact": "yes"}}}]}
    panel = given(route(to("web", 50, "v1"), to("web", 50, "v2"), **beta), route(to("web", 90, "v1"), to("web", 10, "v2")))
    assert panel.widgets.route.options == ("0", "1")
    panel.widgets.route.value = "1"
    until(lambda: panel.widgets.sliders["v2"].value == 10)
    panel.start(rate=100)
    panel.wait_observed("v2", 0.1, within=20)
    panel.widgets.route.value = "0"
    until(lambda: panel.widgets.sliders["v2"].value == 50)


@pytest.mark.cluster
def test_the_routes_of_a_delegate_are_the_roots(target: Any, given: Any) -> None:
    put(target, "inner", {"http": [route(to("web", 70, "v1"), to("web", 30, "v2"), name="split")]})
    panel = given({"match": [{"uri": {"prefix": "/"}}], "delegate": {"name": "inner"}})
    panel.start(rate=100)
    panel.wait_observed("v2", 0.3, within=20)
    panel.widgets.sliders["v2"].value = 60
    until(lambda: target.cluster.get("-n", target.namespace, "virtualservice", "inner")["spec"]["http"][0]["route"][1]["weight"] == 60)
    panel.wait_observed("v2", 0.6, within=20)
    with WeightPanel(target.connection, namespace=target.namespace, virtual_service="inner") as alone:
        until(lambda: "another VirtualService delegates to it" in said(alone))


@pytest.mark.cluster
def test_a_route_that_others_take_the_requests_from_is_said(given: Any) -> None:
    panel = given(route(to("web", subset="v1")), route(to("web-primary", 50), to("web-canary", 50)), panel={"route": "1"})
    panel.start(rate=60)
    until(lambda: "another route takes these requests, or none does" in said(panel))


@pytest.mark.cluster
def test_an_older_rule_for_the_same_host_that_takes_the_requests_is_named_until_it_is_gone(target: Any, given: Any) -> None:
    older = "the panel's requests do not take route split of virtualservice web, but the route all of virtualservice"
    put(target, "older", {"hosts": ["*"], "gateways": ["web"], "http": [route(to("web", subset="v1"), name="all")]})
    made = target.cluster.get("-n", target.namespace, "virtualservice", "older")["metadata"]["creationTimestamp"]
    until(lambda: datetime.now(UTC) - datetime.fromisoformat(made) > timedelta(seconds=1))  # the age decides, in whole seconds
    panel = given(route(to("web", 50, "v1"), to("web", 50, "v2"), name="split"))
    panel.start(rate=60)
    until(lambda: older in said(panel).lower())
    assert panel.snapshot().summary.share("v2").share == 0.0
    target.cluster.kubectl("-n", target.namespace, "delete", "virtualservice", "older")
    until(lambda: "do not take" not in said(panel))
    panel.wait_observed("v2", 0.5, within=20)


@pytest.mark.cluster
def test_a_delegates_route_and_one_with_a_named_match_are_the_panels_own(target: Any, given: Any) -> None:
    match = [{"name": "all", "uri": {"prefix": "/"}}]
    put(target, "inner", {"http": [route(to("web", 50, "v1"), to("web", 50, "v2"), name="split", match=match)]})
    panel = given({"name": "outer", "match": match, "delegate": {"name": "inner"}})
    panel.start(rate=60)
    panel.wait_observed("v2", 0.5, within=20)
    until(lambda: panel._beats > 20)
    assert "do not take" not in said(panel)


@pytest.mark.cluster
def test_the_share_jumps_when_the_rule_is_in_force_and_its_band_narrows(given: Any) -> None:
    panel = given(route(to("web", 100, "v1"), to("web", 0, "v2")))
    panel.start(rate=100)
    until(lambda: panel.snapshot().summary.share("v2").n > 600)  # a mean over these would take as long again to come down
    panel.set_weights({"v1": 0, "v2": 100})
    assert until(lambda: panel.snapshot().summary.share("v2").share == 1.0) < 3.0
    early = panel.snapshot().summary.share("v2")
    until(lambda: panel.snapshot().summary.share("v2").n > early.n + 300)
    late = panel.snapshot().summary.share("v2")
    assert late.high - late.low < early.high - early.low
    assert any(trace.name == "v2 answers" and trace.x for trace in panel.widgets.figure.data)


def answers(standing: Standing, version: str, number: int, started: float = 1.0) -> None:
    for _ in range(number):
        standing.add(Result(started, started, 0.01, 200, version), at=0.0)


def test_answers_are_believed_until_they_claim_more_than_the_gateway_sent() -> None:
    standing = Standing(("v1", "v2"))
    answers(standing, "v1", 90)
    answers(standing, "v2", 10)
    standing.sent(standing.by_answers, {"v1": 91, "v2": 10})
    assert (standing.source, standing.counts) == (ANSWERS, {"v1": 90, "v2": 10})
    answers(standing, "v2", 20)
    standing.sent(standing.by_answers, {"v1": 20})
    assert (standing.source, standing.counts) == (GATEWAY, {"v1": 111, "v2": 10})


def test_answers_that_name_no_destination_are_said_to_be_such_however_many_came() -> None:
    standing = Standing(("web-primary", "web-canary"))
    answers(standing, "v1", 80)
    standing.sent(standing.by_answers, {"web-primary": 80, "web-canary": 20})
    assert (standing.source, standing.counts) == (GATEWAY, {"web-primary": 80, "web-canary": 20})
    assert "The answers name v1, not these destinations" in standing.doubt


def test_without_a_gateway_to_ask_it_says_that_nothing_can_be_observed() -> None:
    standing = Standing(("stable", "canary"))
    answers(standing, "v1", 30)
    assert standing.counts == {}
    assert "are unknown" in standing.doubt


def test_what_was_sent_before_the_rule_does_not_count() -> None:
    standing = Standing(("v1", "v2"))
    standing.begin(2.0)
    answers(standing, "v1", 5, started=1.9)
    answers(standing, "v2", 5, started=2.1)
    assert standing.counts == {"v2": 5}
