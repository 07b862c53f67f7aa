"""What is read from an Envoy's own pages about the Services of one namespace, and how a workload prints."""

from __future__ import annotations

from typing import Any

from meshcourse.measure import workloads
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.admin import Endpoint
from meshcourse.measure.workloads import Group, Held, Pod, Workload
from meshcourse.mesh.envoy.config_dump import Route, Share


def host(address: str, health: str = "HEALTHY", **more: bool) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": address}}, "health_status": {"eds_health_status": health, **more}}


def test_clusters_of_other_namespaces_and_of_the_way_in_are_left_out() -> None:
    page = {
        "cluster_statuses": [
            {"name": "outbound|9080||reviews.shop.svc.cluster.local", "host_statuses": [host("10.0.0.2"), host("10.0.0.1", "UNHEALTHY")]},
            {"name": "outbound|9080|v2|reviews.shop.svc.cluster.local", "host_statuses": [host("10.0.0.2", failed_outlier_check=True)]},
            {"name": "outbound|80||details.shop.svc.cluster.local"},
            {"name": "outbound|443||kubernetes.default.svc.cluster.local", "host_statuses": [host("10.0.0.9")]},
            {"name": "outbound|80||details.shop-two.svc.cluster.local"},
            {"name": "inbound|9080||"},
            {"name": "BlackHoleCluster"},
        ]
    }
    found = workloads.groups(page, "shop")
    assert [(each.service, each.port, each.subset) for each in found] == [
        ("details", "80", ""),
        ("reviews", "9080", ""),
        ("reviews", "9080", "v2"),
    ]
    assert [[workloads.health(each) for each in group.endpoints] for group in found] == [[], ["✘ not ready:", "✔"], ["✘ ejected:"]]


def test_routes_say_which_virtual_service_made_them_and_keep_envoys_order() -> None:
    def route(cluster: str, source: str = "", **match: Any) -> dict[str, Any]:
        origin = {"filterMetadata": {"istio": {"config": source}}} if source else {}
        return {"match": {"prefix": "/", **match}, "route": {"cluster": cluster}, "metadata": origin}

    v2, v1 = (f"outbound|9080|{name}|reviews.shop.svc.cluster.local" for name in ("v2", "v1"))
    rule = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/stars"
    jason = {"headers": [{"name": "end-user", "stringMatch": {"exact": "jason"}}]}
    tables = [
        {
            "virtualHosts": [
                {"name": "reviews.shop.svc.cluster.local:9080", "routes": [route(v2, rule, **jason), route(v1, rule)]},
                {"name": "details.shop.svc.cluster.local:9080", "routes": [route("outbound|9080||details.shop.svc.cluster.local")]},
                {"name": "web.other.svc.cluster.local:9080", "routes": [route("outbound|9080||web.other.svc.cluster.local")]},
                {"name": "allow_any", "routes": [route("PassthroughCluster")]},
            ]
        }
    ]
    assert [(each.host, each.route.fits, each.route.goes, each.virtual_service) for each in workloads.routes(tables, "shop")] == [
        ("details:9080", "every request", "details; no retries", ""),
        ("reviews:9080", "end-user exact jason", "reviews v2; no retries", "stars"),
        ("reviews:9080", "every request", "reviews v1; no retries", "stars"),
    ]


def test_it_prints_each_table_under_the_command_for_more() -> None:
    seen = Workload(
        "shop",
        "reviews-v2",
        (Pod("reviews-v2-1", "2/2", "10.0.0.2"),),
        "reviews-v2-1",
        (Group("ratings", "9080", "", (Endpoint("10.0.0.3", ready=True, ejected=False, requests=0, errors=0),)),),
        (Held("ratings:9080", Route((), (Share("ratings.shop.svc.cluster.local", "", 1),)), ""),),
        (Entry('[2026-01-01T00:00:00Z] "GET /reviews/0 HTTP/1.1" 200', {}),),
        {"10.0.0.3": "ratings-v1-1"},
    )
    lines = [" ".join(line.split()) for line in str(seen).splitlines()]
    for command, first in (
        ("$ kubectl -n shop get pods -o wide", "pod ready address"),
        ("$ istioctl -n shop proxy-config endpoints reviews-v2-1", "service port subset addresses"),
        ("$ istioctl -n shop proxy-config routes reviews-v2-1", "calls to if then by"),
        ("$ kubectl -n shop logs reviews-v2-1 -c istio-proxy --tail=5", '[2026-01-01T00:00:00Z] "GET /reviews/0 HTTP/1.1" 200'),
    ):
        assert lines[lines.index(command) + 1] == first
    assert "ratings 9080 ✔ ratings-v1-1 10.0.0.3" in lines
    assert "ratings:9080 every request ratings Istio" in lines


def test_outside_and_a_pod_without_a_sidecar_say_that_no_envoy_can_be_asked() -> None:
    outside = Workload("shop", workloads.OUTSIDE)
    assert "no pod here" in str(outside)
    assert outside.parts() == ()
    bare = Workload("shop", "tool", (Pod("tool", "1/1", "10.0.0.4"),))
    assert "no sidecar" in str(bare)
    assert "istioctl" not in str(bare)
