"""Which gateway reads which VirtualService, and which of its rules."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.mesh import propagation
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.envoy.config_dump import Route, Share

IN, OUT = frozenset({"front", "n/front"}), frozenset({"way-out", "n/way-out"})
EGRESS = "istio-egressgateway.istio-system.svc.cluster.local"


def service(*gateways: str) -> dict[str, Any]:
    rules = [
        {"match": [{"gateways": ["mesh"]}], "route": [{"destination": {"host": EGRESS}}]},
        {"match": [{"gateways": ["way-out"]}], "route": [{"destination": {"host": "api.partner.example"}}]},
    ]
    return {
        "metadata": {"name": "partner", "namespace": "n"},
        "spec": {"hosts": ["api.partner.example"], "gateways": gateways, "http": rules},
    }


@pytest.mark.parametrize(
    ("gateways", "at_ingress", "at_egress"),
    [
        (("mesh", "way-out"), set(), {"way-out"}),
        (("front",), {"front"}, set()),
        (("n/front", "n/way-out"), {"n/front"}, {"n/way-out"}),
        (("absent",), {"absent"}, set()),
        (("other/shared",), {"other/shared"}, set()),
        ((), set(), set()),
    ],
)
def test_each_gateway_waits_for_its_own_services(gateways: tuple[str, ...], at_ingress: set[str], at_egress: set[str]) -> None:
    found = service(*gateways)
    assert propagation.readers(found, IN, OUT, strangers=True) == at_ingress
    assert propagation.readers(found, OUT, IN, strangers=False) == at_egress


def test_rule_for_another_gateway_is_no_route_here() -> None:
    found = service("mesh", "way-out")
    assert config_dump.described_by(found, gateways=frozenset({"mesh"})) == (Route((), (Share(EGRESS, "", 1),)),)
    assert config_dump.described_by(found, gateways=frozenset({"way-out"})) == (Route((), (Share("api.partner.example", "", 1),)),)
    assert config_dump.described_by(found, gateways=frozenset({"front"})) == ()


def test_gateway_is_told_by_what_it_selects() -> None:
    gateway = {"spec": {"selector": {"istio": "egressgateway"}, "servers": [{"port": {"protocol": "HTTP"}}]}}
    assert propagation.serves_http(gateway, "egressgateway")
    assert not propagation.serves_http(gateway)


@pytest.mark.parametrize(("port", "opened"), [(80, True), (20001, True), (20002, False), (20003, False)])
def test_learners_gateway_has_arrived_when_its_own_port_is_open_and_not_another_learners(port: int, *, opened: bool) -> None:
    tables = [{"name": "http.8080"}, {"name": "http.20001"}, {"name": "http.20002"}]
    assert propagation._opened(tables, frozenset({"8080", "20001"}), port) is opened
