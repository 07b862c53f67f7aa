"""Graphs from counters: what a caller counted, what was divided, what came from outside. And parsing Envoy's text."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from meshcourse.measure import proxy_counters, topology
from meshcourse.measure.proxy_counters import Calls, Counts, Destination, Member, Sample

TEXT = """# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{cluster_name="inbound|9080||",response_code="200"} 6
envoy_cluster_upstream_rq{cluster_name="inbound|9080||",response_code_class="2xx"} 6
envoy_cluster_upstream_rq{cluster_name="outbound|9080|v2|reviews.shop.svc.cluster.local",response_code="200"} 5
envoy_cluster_upstream_rq{cluster_name="outbound|9080|v2|reviews.shop.svc.cluster.local",response_code="503"} 2
envoy_cluster_upstream_rq{cluster_name="outbound|9080||details.shop.svc.cluster.local;",response_code="200"} 9
envoy_cluster_upstream_rq{cluster_name="xds-grpc",response_code="200"} 1
envoy_cluster_external_upstream_rq{cluster_name="inbound|9080||",response_code="200"} 6
envoy_cluster_upstream_rq_cancelled{cluster_name="outbound|9080|v2|reviews.shop.svc.cluster.local"} 1
envoy_cluster_upstream_rq_time_bucket{cluster_name="inbound|9080||",le="5"} 4
envoy_cluster_upstream_rq_time_bucket{cluster_name="inbound|9080||",le="+Inf"} 6
envoy_cluster_upstream_rq_time_sum{cluster_name="inbound|9080||"} 24.5
envoy_cluster_ssl_handshake{cluster_name="outbound|9080|v2|reviews.shop.svc.cluster.local"} 3
"""


def test_envoys_text_becomes_calls_in_and_out() -> None:
    counts = proxy_counters.parse(TEXT.splitlines())
    assert counts.inbound == Calls({200: 6}, 0, {5.0: 4, math.inf: 6})
    reviews = counts.outbound[Destination("reviews.shop.svc.cluster.local", "v2")]
    assert (reviews.total, reviews.failed, reviews.cancelled, reviews.handshakes) == (8, 3, 1, 3)
    details = counts.outbound[Destination("details.shop.svc.cluster.local")]
    assert (details.total, details.handshakes) == (9, 0)
    assert len(counts.outbound) == 2


def test_calls_that_were_given_up_while_they_ran_have_begun_and_no_status() -> None:
    lines = [*TEXT.splitlines(), 'envoy_cluster_upstream_rq_total{cluster_name="inbound|9080||"} 9']
    found = proxy_counters.parse(lines).inbound
    assert (found.begun, found.total) == (9, 6)
    assert proxy_counters.since(replace(found, begun=4), found).begun == 5
    assert proxy_counters.plus(found, found).begun == 18


def test_proxy_that_began_anew_counts_from_nothing() -> None:
    assert proxy_counters.since(Calls({200: 100}), Calls({200: 7})) == Calls({200: 7})
    assert proxy_counters.since(Calls({200: 5, 503: 1}), Calls({200: 9, 503: 1})).total == 4


@pytest.mark.parametrize(
    ("pod", "labels", "name"),
    [
        ("reviews-v2-55844bdb87-hbrgc", {"pod-template-hash": "55844bdb87"}, "reviews-v2"),
        ("client", {}, "client"),
    ],
)
def test_pods_are_called_by_their_deployment(pod: str, labels: dict[str, str], name: str) -> None:
    assert proxy_counters.workload(pod, labels) == name


def calls(n: int, failed: int = 0, ms: float = 10.0) -> Calls:
    return Calls({200: n - failed, **({503: failed} if failed else {})}, 0, {ms: n, math.inf: n})


def to(service: str, subset: str = "") -> Destination:
    return Destination(f"{service}.shop.svc.cluster.local", subset)


def member(app: str, version: str, inbound: Calls, outbound: dict[Destination, Calls] | None = None, pod: str = "") -> Member:
    name = f"{app}-{version}"
    return Member(pod or f"{name}-0", name, {"app": app, "version": version}, Counts(inbound, outbound or {}))


def sample(at: float, *members: Member) -> Sample:
    services = {app: {"app": app} for app in ("page", "reviews", "ratings")}
    subsets = {Destination("reviews", version): {"version": version} for version in ("v1", "v2")}
    return Sample(at, "shop", members, services, subsets)


START = sample(0.0, member("page", "v1", Calls()), member("reviews", "v1", Calls()), member("reviews", "v2", Calls()))


def test_calls_to_a_service_are_shared_out_by_what_its_versions_received() -> None:
    after = sample(
        10.0,
        member("page", "v1", calls(100), {to("reviews"): calls(100, ms=50)}),
        member("reviews", "v1", calls(75, ms=4)),
        member("reviews", "v2", calls(25, failed=5, ms=8), {to("ratings"): calls(25)}),
        member("ratings", "v1", calls(25)),
    )
    seen = topology.between(START, after)
    assert seen.edge("page-v1", "reviews-v1").rate == pytest.approx(7.5)
    assert seen.edge("page-v1", "reviews-v2").rate == pytest.approx(2.5)
    assert seen.edge("page-v1", "reviews-v2").failed == pytest.approx(0.2), "several versions: what the version itself saw"
    assert seen.edge("page-v1", "reviews-v1").p99 == pytest.approx(3.96)
    assert seen.edge("reviews-v2", "ratings-v1").rate == pytest.approx(2.5)
    assert seen.edge("outside", "page-v1").rate == pytest.approx(10)
    assert [(edge.source, edge.target) for edge in seen.edges] == [
        ("outside", "page-v1"),
        ("page-v1", "reviews-v1"),
        ("page-v1", "reviews-v2"),
        ("reviews-v2", "ratings-v1"),
    ]
    assert [(node.name, node.service, node.version) for node in seen.nodes][:3] == [
        ("outside", "outside", ""),
        ("page-v1", "page", "v1"),
        ("ratings-v1", "ratings", "v1"),
    ]


def test_a_subset_that_is_one_workload_is_seen_by_its_caller() -> None:
    """Only the caller knows of a call that it cancelled: the callee answered it well."""
    out = {to("reviews", "v2"): Calls({200: 8, 504: 2}, 0, {50.0: 10, math.inf: 10})}
    after = sample(5.0, member("page", "v1", calls(10), out), member("reviews", "v1", Calls()), member("reviews", "v2", calls(10)))
    flow = topology.between(START, after).edge("page-v1", "reviews-v2")
    assert (flow.rate, flow.failed, flow.p50) == (2.0, 0.2, 25.0)
    assert topology.between(START, after).edge("page-v1", "reviews-v1").rate == 0


def test_an_edge_is_locked_when_its_caller_has_made_handshakes_for_it() -> None:
    out = {to("reviews", "v1"): replace(calls(10), handshakes=2), to("reviews", "v2"): calls(10)}
    after = sample(5.0, member("page", "v1", calls(20), out), member("reviews", "v1", calls(10)), member("reviews", "v2", calls(10)))
    seen = topology.between(after, replace(after, at=10.0), {("outside", "page-v1")})
    assert {edge.target: edge.mutual_tls for edge in seen.edges} == {"page-v1": False, "reviews-v1": True, "reviews-v2": False}
    assert [line.endswith("  mTLS") for line in str(seen).splitlines()] == [False, False, True, False]


def test_edges_that_are_quiet_now_stay_with_a_rate_of_nothing() -> None:
    after = sample(5.0, member("page", "v1", calls(10), {to("reviews", "v1"): calls(10)}), member("reviews", "v1", calls(10)))
    known = {("outside", "page-v1"), ("page-v1", "gone-v1")}
    seen = topology.between(after, replace(after, at=10.0), known)
    assert [(edge.source, edge.target, edge.flow.rate) for edge in seen.edges] == [
        ("outside", "page-v1", 0.0),
        ("page-v1", "reviews-v1", 0.0),
    ]


def test_callers_counters_that_began_anew_do_not_make_its_calls_come_from_outside() -> None:
    """A new DestinationRule resets Envoy's counters: what its callee counted before must not count as calls of others."""
    callee = member("reviews", "v1", calls(100))
    before = sample(0.0, member("page", "v1", calls(100), {to("reviews"): calls(100)}), callee)
    after = sample(5.0, member("page", "v1", calls(100), {to("reviews"): calls(0)}), callee)
    assert [edge.source for edge in topology.between(before, after).edges] == ["page-v1"]


def test_two_pods_of_a_deployment_are_one_node() -> None:
    pods = [member("reviews", "v1", calls(10), pod=f"reviews-v1-{n}") for n in (1, 2)]
    seen = topology.between(sample(0.0), sample(5.0, *pods))
    assert [node.name for node in seen.nodes] == ["outside", "reviews-v1"]
    assert seen.node("reviews-v1").rate == 4.0


def test_a_few_calls_missing_between_two_samples_do_not_come_from_outside() -> None:
    after = sample(10.0, member("page", "v1", calls(100), {to("reviews", "v1"): calls(97)}), member("reviews", "v1", calls(100)))
    assert topology.between(START, after).edge("outside", "reviews-v1").rate == 0


def test_calls_to_other_namespaces_are_no_edges_here() -> None:
    out = {Destination("reviews.other.svc.cluster.local"): calls(5), Destination("example.com"): calls(5)}
    after = sample(1.0, member("page", "v1", calls(5), out), member("reviews", "v1", Calls()))
    assert [edge.target for edge in topology.between(START, after).edges] == ["page-v1"]


def test_the_graph_prints_as_a_table() -> None:
    after = sample(
        10.0, member("page", "v1", calls(100), {to("reviews", "v1"): calls(100, failed=10)}), member("reviews", "v1", calls(100))
    )
    text = str(topology.between(START, after))
    assert "page-v1 → reviews-v1    10.0/s   10.0% failed  p50     5 ms  p99    10 ms" in text
    assert str(topology.between(sample(0.0), sample(1.0))) == "no calls between the pods of shop have been counted"


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({5.0: 0, math.inf: 0}, 0.5, None),
        ({5.0: 10, 10.0: 10, math.inf: 10}, 0.5, 2.5),
        ({5.0: 5, 10.0: 10, math.inf: 10}, 0.99, 9.9),
        ({5.0: 1, 10.0: 1, math.inf: 10}, 0.5, 10.0),
    ],
)
def test_quantiles_are_reckoned_inside_their_bucket(buckets: dict[float, int], share: float, expected: float | None) -> None:
    found = topology.quantile(buckets, share)
    assert found == (None if expected is None else pytest.approx(expected))


def test_called_pod_without_counters_is_drawn_from_its_callers_counts() -> None:
    bare = replace(member("ratings", "v1", Calls()), sidecar=False)
    silent = replace(member("reviews", "v1", Calls()), keeps=False)
    caller = member("page", "v1", calls(20))
    calling = replace(caller, counts=Counts(calls(20), {to("reviews"): calls(20, failed=5), to("ratings"): calls(10)}))
    before = sample(0.0, replace(caller, counts=Counts()), silent, bare)
    found = topology.between(before, sample(2.0, calling, silent, bare))
    assert (found.edge("page-v1", "ratings-v1").rate, found.edge("page-v1", "reviews-v1").failed) == (5.0, 0.25)
    nodes = {node.name: (node.flow.rate, node.sidecar, node.keeps) for node in found.nodes}
    assert nodes["ratings-v1"] == (5.0, False, True)
    assert nodes["reviews-v1"] == (10.0, True, False)
    assert "The Envoys of reviews-v1 keep no counters of calls" in str(found)
    assert "Without a sidecar: ratings-v1." in str(found)


def test_pods_without_counters_share_what_the_others_did_not_receive() -> None:
    caller = member("page", "v1", Calls())
    lit, dark = member("reviews", "v1", calls(15)), replace(member("reviews", "v2", Calls()), sidecar=False)
    before = sample(0.0, caller, member("reviews", "v1", Calls()), dark)
    found = topology.between(before, sample(1.0, replace(caller, counts=Counts(Calls(), {to("reviews"): calls(20)})), lit, dark))
    assert (found.edge("page-v1", "reviews-v1").rate, found.edge("page-v1", "reviews-v2").rate) == (15.0, 5.0)


def test_namespace_in_which_no_envoy_counts_is_not_called_quiet() -> None:
    silent = replace(member("page", "v1", Calls()), keeps=False)
    found = topology.between(sample(0.0, silent), sample(1.0, silent))
    assert "keep no counters of calls" in str(found)
    assert "proxyStatsMatcher" in str(found)
