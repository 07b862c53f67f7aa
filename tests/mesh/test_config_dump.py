"""A VirtualService and Envoy's routes, put into one form. The JSON has the shape that `istioctl proxy-config routes -o json` prints."""

from __future__ import annotations

from typing import Any

from meshcourse.mesh import propagation
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.envoy.config_dump import Route, Share

WEB = "web.canary.svc.cluster.local"


def service(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "canary"}, "spec": {"hosts": ["*"], "gateways": ["web"], "http": list(rules)}}


def to(subset: str, weight: int | None = None) -> dict[str, Any]:
    destination: dict[str, Any] = {"destination": {"host": "web", "subset": subset}}
    return destination if weight is None else {**destination, "weight": weight}


def envoy(*routes: dict[str, Any], name: str = "web") -> list[dict[str, Any]]:
    mark = {"filterMetadata": {"istio": {"config": f"/apis/networking.istio.io/v1/namespaces/canary/virtual-service/{name}"}}}
    unasked = {"retryOn": "connect-failure,refused-stream,unavailable,cancelled", "numRetries": 2}
    whole = [{**route, "route": {"retryPolicy": unasked, **route["route"]}, "metadata": mark} for route in routes]
    return [{"name": "http.8080", "virtualHosts": [{"name": "*:80", "routes": whole}]}]


def test_split_is_the_same_in_both() -> None:
    wanted = config_dump.described_by(service({"route": [to("v1", 90), to("v2", 10)]}))
    clusters = [{"name": f"outbound|80|v1|{WEB}", "weight": 90}, {"name": f"outbound|80|v2|{WEB}", "weight": 10}]
    held = config_dump.read(envoy({"match": {"prefix": "/"}, "route": {"weightedClusters": {"clusters": clusters}}}), "canary", "web")
    assert held == wanted == (Route((), (Share(WEB, "v1", 90), Share(WEB, "v2", 10))),)


def test_weight_of_zero_and_a_lone_destination_are_the_same() -> None:
    lone = config_dump.described_by(service({"route": [to("v2")]}))
    assert config_dump.described_by(service({"route": [to("v1", 0), to("v2", 100)]})) == lone
    clusters = [{"name": f"outbound|80|v2|{WEB}", "weight": 100}]
    assert (
        config_dump.read(envoy({"match": {"prefix": "/"}, "route": {"weightedClusters": {"clusters": clusters}}}), "canary", "web") == lone
    )
    assert config_dump.read(envoy({"match": {"prefix": "/"}, "route": {"cluster": f"outbound|80|v2|{WEB}"}}), "canary", "web") == lone


def test_header_match_is_the_same_in_both() -> None:
    rules = service(
        {"match": [{"headers": {"x-team": {"exact": "internal"}}}], "route": [to("v2")]},
        {"match": [{"headers": {"cookie": {"regex": "a.*"}}}, {"uri": {"prefix": "/new"}}], "route": [to("v2")]},
        {"route": [to("v1")]},
    )
    routes = (
        {
            "match": {"prefix": "/", "headers": [{"name": "x-team", "stringMatch": {"exact": "internal"}}]},
            "route": {"cluster": f"outbound|80|v2|{WEB}"},
        },
        {
            "match": {"prefix": "/", "headers": [{"name": "cookie", "stringMatch": {"safeRegex": {"regex": "a.*"}}}]},
            "route": {"cluster": f"outbound|80|v2|{WEB}"},
        },
        {"match": {"prefix": "/new", "caseSensitive": True}, "route": {"cluster": f"outbound|80|v2|{WEB}"}},
        {"match": {"prefix": "/"}, "route": {"cluster": f"outbound|80|v1|{WEB}"}},
    )
    assert propagation.same(config_dump.read(envoy(*routes), "canary", "web"), config_dump.described_by(rules))
    assert not propagation.same(config_dump.read(envoy(*routes[1:]), "canary", "web"), config_dump.described_by(rules))


def test_rules_after_one_that_matches_all_make_no_routes() -> None:
    found = config_dump.described_by(
        service({"route": [to("v1")]}, {"match": [{"headers": {"x-team": {"exact": "internal"}}}], "route": [to("v2")]})
    )
    assert len(found) == 1


def test_routes_of_other_virtual_services_are_left_out() -> None:
    route = {"match": {"prefix": "/"}, "route": {"cluster": f"outbound|80|v1|{WEB}"}}
    assert config_dump.read(envoy(route, name="other"), "canary", "web") == ()


def test_full_host_names_stay_as_they_are() -> None:
    destination = {"destination": {"host": "web.shop.svc.cluster.local"}}
    assert config_dump.described_by(service({"route": [destination]}))[0].shares == (Share("web.shop.svc.cluster.local", "", 1),)


def test_only_services_that_a_gateway_carries_are_waited_for() -> None:
    assert propagation.carried_by_a_gateway({"spec": {"gateways": ["mesh", "web"]}})
    assert not propagation.carried_by_a_gateway({"spec": {"gateways": ["mesh"]}})
    assert not propagation.carried_by_a_gateway({"spec": {}})
