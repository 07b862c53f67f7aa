"""The topology panel on a real Bookinfo: its edges are the real calls, and it follows rules, errors and its own load."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.core.errors import ClusterError, KubernetesError, PanelError
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh import propagation
from meshcourse.widgets.panels.topology import TopologyPanel

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "04_bookinfo"
CALLS = {
    ("productpage-v1", "details-v1"),
    ("productpage-v1", "reviews-v1"),
    ("productpage-v1", "reviews-v2"),
    ("productpage-v1", "reviews-v3"),
    ("reviews-v2", "ratings-v1"),
    ("reviews-v3", "ratings-v1"),
}


@pytest.fixture(scope="module")
def bookinfo(cluster: Any) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    # A host name of its own: the gateway's `*` may belong to another test.
    gateway = (MANIFESTS / "02-gateway.yaml").read_text().replace('"*"', "books.example.com")
    resources.apply(cluster.connection, MANIFESTS / "01-bookinfo.yaml", namespace=name)
    resources.apply(cluster.connection, gateway, namespace=name)
    cluster.kubectl("-n", name, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s", timeout=70)
    assert not propagation.wait(cluster.connection, name).missing
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def panel(cluster: Any, bookinfo: str) -> Iterator[TopologyPanel]:
    made = TopologyPanel(cluster.connection, namespace=bookinfo, path="/productpage", headers={"Host": "books.example.com"})
    with made:
        yield made


def busy(panel: TopologyPanel) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in panel.snapshot().edges if edge.flow.rate}


def test_edges_are_the_calls_of_bookinfo_and_grow_with_the_load(panel: TopologyPanel) -> None:
    panel.widgets.steering.start.click()
    until(lambda: busy(panel) == CALLS | {("outside", "productpage-v1")})

    def as_many_inside_as_outside() -> bool:
        """The Envoys are read one after the other, so that a few calls lie between two counts."""
        seen = panel.snapshot()
        pages = seen.edge("outside", "productpage-v1").rate
        reviews = sum(seen.edge("productpage-v1", f"reviews-v{n}").rate for n in (1, 2, 3))
        details = seen.edge("productpage-v1", "details-v1").rate
        return 7 < pages < 13 and max(abs(reviews - pages), abs(details - pages)) < 0.2 * pages

    until(as_many_inside_as_outside)
    assert panel.snapshot().edge("outside", "productpage-v1").failed == 0
    until(lambda: panel.snapshot().edge("productpage-v1", "reviews-v1").p99 is not None)  # Envoy's histograms are up to 5 s behind
    assert "productpage-v1 calls details-v1" in panel.widgets.alt.value
    assert any(text.startswith(("1", "7", "8", "9")) for text in panel.widgets.figure.data[7].text)
    assert {edge.mutual_tls for edge in panel.snapshot().edges if edge.source != "outside"} == {True}
    assert len(panel.widgets.figure.data[6].x) >= 2 * len(CALLS), "a lock is two points"
    panel.widgets.steering.rate.value = 1
    until(lambda: panel.snapshot().edge("outside", "productpage-v1").rate < 3)
    panel.widgets.steering.stop.click()
    until(lambda: not panel.running)
    until(lambda: busy(panel) == set())
    assert {(edge.source, edge.target) for edge in panel.snapshot().edges} >= CALLS, "quiet edges stay in the picture"


def test_a_node_is_read_by_call_by_click_and_from_the_list(panel: TopologyPanel, bookinfo: str, cluster: Any) -> None:
    panel.start(rate=10)
    panel.wait_for("reviews-v2", "ratings-v1")
    until(lambda: len(panel.inspect("reviews-v2").log) == 5)  # Envoy writes about once a second
    seen = panel.inspect("reviews-v2")
    (pod,) = cluster.get("-n", bookinfo, "pods", "-l", "app=reviews,version=v2")["items"]
    assert [(each.name, each.ready, each.address) for each in seen.pods] == [(pod["metadata"]["name"], "2/2", pod["status"]["podIP"])]
    held = {each.service: [(seen.names[one.address], one.ready) for one in each.endpoints] for each in seen.groups if not each.subset}
    assert set(held) == {"details", "productpage", "ratings", "reviews"}
    assert len(held["reviews"]) == 3
    assert (seen.proxy, True) in held["reviews"]
    assert "ratings:9080" in {each.host for each in seen.routes}
    assert all(each["upstream_cluster"].startswith(("inbound|9080|", "outbound|9080|")) for each in seen.log)
    shown = panel.widgets
    assert shown.workload.value == "reviews-v2"
    assert f"istioctl -n {bookinfo} proxy-config routes {seen.proxy}" in shown.node.value
    point = {"trace": "workloads", "point": 1, "text": "details-v1"}
    shown.figure.clicked = {**point, "count": 1}
    until(lambda: f"<b>details-v1 in {bookinfo}, by the Envoy of details-v1-" in shown.node.value)
    assert shown.workload.value == "details-v1"
    shown.node.value = ""
    shown.figure.clicked = {**point, "count": 2}
    until(lambda: "<b>details-v1" in shown.node.value)
    shown.workload.value = "outside"
    until(lambda: "no pod here" in shown.node.value)
    shown.workload.value = ""
    until(lambda: "Click a circle" in shown.node.value)
    with pytest.raises(KubernetesError, match="nobody has no pod"):
        panel.inspect("nobody")
    assert 'role="alert"' in shown.node.value
    assert panel.error == ""


def test_a_rule_for_v1_makes_the_others_quiet_and_missing_pods_are_followed(panel: TopologyPanel, bookinfo: str, cluster: Any) -> None:
    for name in ("03-destinationrules", "04-reviews-v1"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=bookinfo)
    assert not propagation.wait(cluster.connection, bookinfo).missing
    panel.start(rate=20)
    panel.wait_for("productpage-v1", "reviews-v1")
    until(lambda: busy(panel) == {("outside", "productpage-v1"), ("productpage-v1", "details-v1"), ("productpage-v1", "reviews-v1")})
    # No pod of details is left: its callers fail, and so does nothing else.
    cluster.kubectl("-n", bookinfo, "scale", "deployment/details-v1", "--replicas=0")
    until(lambda: "Error" not in panel.error and panel.snapshot().node("details-v1").rate == 0)
    cluster.kubectl("-n", bookinfo, "scale", "deployment/details-v1", "--replicas=1")
    cluster.kubectl("-n", bookinfo, "rollout", "status", "deployment/details-v1", "--timeout=60s", timeout=70)
    panel.wait_for("productpage-v1", "details-v1", within=20)


UNCOUNTED = """
apiVersion: v1
kind: Service
metadata: {name: plain}
spec: {selector: {app: plain}, ports: [{name: http, port: 9080, targetPort: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain, sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: nginx, image: "nginx:1.25"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: silent}
spec:
  selector: {matchLabels: {app: silent}}
  template:
    metadata: {labels: {app: silent}}
    spec: {containers: [{name: nginx, image: "nginx:1.25"}]}
"""


def test_pods_without_a_sidecar_or_counters_are_named_and_drawn_by_their_callers(panel: TopologyPanel, bookinfo: str, cluster: Any) -> None:
    resources.apply(cluster.connection, UNCOUNTED, namespace=bookinfo)
    resources.wait_for_rollout(cluster.connection, bookinfo, ["plain", "silent"])
    call = "import urllib.request as r\nfor _ in range(20): r.urlopen('http://plain:9080/').read()"
    until(lambda: "silent" in {node.name for node in panel.snapshot().nodes})

    def seen() -> bool:
        cluster.kubectl("-n", bookinfo, "exec", "deploy/productpage-v1", "--", "python3", "-c", call)
        return panel.snapshot().edge("productpage-v1", "plain").rate > 0

    until(seen)
    assert "The Envoys of silent keep no counters of calls" in panel.widgets.alt.value
    assert "Without a sidecar: plain." in panel.widgets.alt.value
    assert {node.name for node in panel.snapshot().nodes if not node.counted and node.name != "outside"} == {"plain", "silent"}
    resources.delete(cluster.connection, UNCOUNTED, namespace=bookinfo)


def test_what_does_not_come_is_said_with_what_was_seen(panel: TopologyPanel) -> None:
    with pytest.raises(PanelError, match="ratings-v1 has not called details-v1"):
        panel.wait_for("ratings-v1", "details-v1", within=1.5)


def test_second_panel_of_a_namespace_ends_the_first(panel: TopologyPanel, bookinfo: str, cluster: Any) -> None:
    panel.start(rate=5)
    with TopologyPanel(cluster.connection, namespace=bookinfo) as second:
        assert not panel.running
        assert second.snapshot().namespace == bookinfo


def test_cluster_that_cannot_be_asked_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises((ClusterError, KubernetesError)):
        TopologyPanel(Connection(tmp_path / "absent", "http://127.0.0.1:1"), namespace="none").open()


def test_cluster_that_goes_away_is_shown_in_the_panel_until_it_is_back(panel: TopologyPanel) -> None:
    asked = panel._connection
    panel._connection = Connection(Path("/nonexistent/kubeconfig"), asked.ingress_url)
    until(lambda: "kubeconfig" in panel.error)
    assert "kubeconfig" in panel.widgets.error.value
    panel._connection = asked
    until(lambda: panel.error == "")
