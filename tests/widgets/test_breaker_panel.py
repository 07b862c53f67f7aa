"""The breaker panel on a real mesh: Envoy does what the sliders set."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from waiting import until

from meshcourse.core import background
from meshcourse.core.errors import KubernetesError, PanelError
from meshcourse.kube import resources
from meshcourse.mesh import propagation
from meshcourse.mesh.rules import breakers
from meshcourse.mesh.rules.breakers import Breaker
from meshcourse.widgets.models import breaker
from meshcourse.widgets.panels import breaker_controls
from meshcourse.widgets.panels.breaker import BreakerPanel, kind

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "06_circuit_breaking"


@pytest.fixture(scope="module")
def breaking_namespace(cluster: Any) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    for file in ("01-httpbin", "02-fortio", "05-faulty", "07-door"):
        resources.apply(cluster.connection, MANIFESTS / f"{file}.yaml", namespace=name)
    resources.wait_for_rollout(cluster.connection, name, ["httpbin", "fortio-deploy", "httpbin-faulty"])
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def panel(cluster: Any, breaking_namespace: str) -> Iterator[BreakerPanel]:
    """With the chapter's ejection rule and no failing replica."""
    resources.apply(cluster.connection, MANIFESTS / "03-limits.yaml", namespace=breaking_namespace)
    with made(cluster, breaking_namespace) as opened:
        opened.set_failing(False)
        opened.set_breaker(connections=0, waiting=0, errors=0)
        assert not propagation.wait(cluster.connection, breaking_namespace).missing
        yield opened


def made(cluster: Any, namespace: str, rule: str = "httpbin") -> BreakerPanel:
    return BreakerPanel(
        cluster.connection,
        namespace=namespace,
        rule=rule,
        cluster=f"outbound|8000||httpbin.{namespace}.svc.cluster.local",
        caller="fortio-deploy",
        url=f"{cluster.connection.ingress_url}/delay/0.1",
        host="breaker.example.com",
        failing="httpbin-faulty",
    )


def overflow(panel: BreakerPanel) -> list[int]:
    """Envoy's counter, or nothing: a panel shows none while its Envoy does not answer."""
    return [value for name, value in panel.snapshot().counters.items() if name == "upstream_rq_pending_overflow"]


@pytest.mark.cluster
def test_limits_refuse_and_envoy_counts_the_same(panel: BreakerPanel, cluster: Any, breaking_namespace: str) -> None:
    panel.start(callers=8)
    panel.wait_seen(breaker.ANSWERED, at_least=20)
    assert breaker.REFUSED not in panel.snapshot().summary.versions
    counted: list[int] = []
    until(lambda: counted.extend(overflow(panel)) or counted)
    panel.widgets.sliders["connections"].value = 1
    panel.widgets.sliders["waiting"].value = 1
    panel.wait_seen(breaker.REFUSED, at_least=20)
    until(lambda: any(now >= counted[0] + 20 for now in overflow(panel)))
    until(lambda: "limit 1 <b>reached</b>" in panel.widgets.numbers.value)
    until(lambda: any(panel.widgets.figure.data[1].y))
    held = breakers.read(cluster.connection, breaking_namespace, "httpbin")
    assert (held.connections, held.waiting, held.errors) == (1, 1, 0)
    panel.set_breaker(connections=0, waiting=0)
    until(lambda: breaker.REFUSED not in panel.snapshot().summary.versions)
    panel.stop()
    assert not panel.running


@pytest.mark.cluster
def test_failing_replica_is_put_out(panel: BreakerPanel) -> None:
    panel.start(callers=4)
    panel.widgets.failing.value = True
    panel.wait_seen(breaker.BROKEN)
    assert not [each for each in panel.snapshot().standings if each.endpoint.ejected]
    panel.set_breaker(errors=3, seconds=30)
    (out,) = panel.wait_ejected()
    assert out.name.startswith("httpbin-faulty ")
    until(lambda: set(panel.snapshot().summary.versions) == {breaker.ANSWERED})
    until(lambda: "ejected now: httpbin-faulty" in panel.widgets.alt.value)
    panel.widgets.failing.value = False
    until(lambda: len(panel.snapshot().standings) == 1)


@pytest.mark.cluster
def test_a_change_by_kubectl_moves_the_sliders(panel: BreakerPanel, cluster: Any, breaking_namespace: str) -> None:
    patch = '{"spec":{"trafficPolicy":{"connectionPool":{"tcp":{"maxConnections":7}}}}}'
    cluster.kubectl("-n", breaking_namespace, "patch", "destinationrule", "httpbin", "--type=merge", "-p", patch)
    until(lambda: panel.widgets.sliders["connections"].value == 7)
    assert panel.snapshot().breaker.connections == 7


@pytest.mark.cluster
def test_a_slider_moves_only_when_the_learner_or_the_rule_moves_it(panel: BreakerPanel, cluster: Any, breaking_namespace: str) -> None:
    sliders = panel.widgets.sliders
    cluster.kubectl("-n", breaking_namespace, "patch", "destinationrule", "httpbin", "--type=merge", "-p", KEPT)
    until(lambda: "consecutiveGatewayErrors 3" in panel.widgets.rule.value)
    seconds = sliders["seconds"].value
    sliders["errors"].value = 0
    sliders["connections"].value = 4
    until(lambda: panel.snapshot().breaker.connections == 4)
    held = cluster.get("-n", breaking_namespace, "destinationrule", "httpbin")["spec"]["trafficPolicy"]["outlierDetection"]
    assert (held["consecutiveGatewayErrors"], held["maxEjectionPercent"], held["interval"]) == (3, 34, "1s")
    assert sliders["seconds"].value == seconds
    gone = '[{"op":"remove","path":"/spec/trafficPolicy/outlierDetection"}]'
    cluster.kubectl("-n", breaking_namespace, "patch", "destinationrule", "httpbin", "--type=json", "-p", gone)
    until(lambda: panel.snapshot().breaker.seconds is None)
    assert sliders["seconds"].value == seconds
    sliders["seconds"].value = 7
    sliders["errors"].value = 3
    until(lambda: panel.snapshot().breaker.errors == 3)
    assert panel.snapshot().breaker.seconds == 7
    cluster.kubectl("-n", breaking_namespace, "patch", "destinationrule", "httpbin", "--type=merge", "-p", MANY)
    until(lambda: sliders["connections"].value == 1024)
    sliders["waiting"].value = 2
    until(lambda: panel.snapshot().breaker.waiting == 2)
    assert panel.snapshot().breaker.connections == 1024


KEPT = (
    '{"spec":{"trafficPolicy":{"outlierDetection":{"consecutive5xxErrors":0,"consecutiveGatewayErrors":3,"interval":"1s",'
    '"maxEjectionPercent":34}}}}'
)
MANY = '{"spec":{"trafficPolicy":{"connectionPool":{"tcp":{"maxConnections":1024}}}}}'


def test_whether_a_limit_is_reached_and_who_is_idle_is_said() -> None:
    gauges = {"upstream_cx_active": 11, "upstream_rq_active": 8, "circuit_breakers.default.cx_open": 1}
    words = breaker_controls.limits(gauges, Breaker(connections=11))
    assert "11 connections (3 of them idle): limit 11 <b>reached</b>" in words
    assert "0 requests wait for one: no limit" in words


def test_ejections_that_were_not_made_or_are_ignored_are_said() -> None:
    counters = {"outlier_detection.ejections_overflow": 5, "lb_healthy_panic": 9}
    words = breaker_controls.kept(counters, {"lb_healthy_panic": 7}, Breaker(errors=3, floor=50, others=(("maxEjectionPercent", "34"),)))
    assert "5 ejections were not made: maxEjectionPercent 34 allows no more" in words
    assert "<b>panic</b>: fewer than minHealthPercent 50 are in" in words
    assert "panic" not in breaker_controls.kept(counters, counters, Breaker())


@pytest.mark.cluster
def test_a_rule_that_is_gone_shows_in_the_panel(panel: BreakerPanel, cluster: Any, breaking_namespace: str) -> None:
    cluster.kubectl("-n", breaking_namespace, "delete", "destinationrule", "httpbin")
    with pytest.raises(KubernetesError):
        panel.set_breaker(connections=3)
    until(lambda: 'role="alert"' in panel.widgets.error.value and "httpbin" in panel.widgets.error.value)


@pytest.mark.cluster
def test_what_is_not_there_is_said(cluster: Any, breaking_namespace: str) -> None:
    with pytest.raises(KubernetesError, match="no DestinationRule absent"):
        made(cluster, breaking_namespace, "absent").open()


@pytest.mark.cluster
def test_stopping_and_closing_let_go_of_every_socket(panel: BreakerPanel, cluster: Any) -> None:
    panel.start()
    panel.wait_seen(breaker.ANSWERED)
    with pytest.raises(PanelError, match="No 5 requests were 'none left'"):
        panel.wait_seen(breaker.NOBODY, within=0.2)
    with pytest.raises(PanelError, match="not 2, were ejected"):
        panel.wait_ejected(number=2, within=0.2)
    port = urlsplit(cluster.connection.ingress_url).port

    def sockets() -> list[Any]:
        return [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port]

    assert sockets()
    panel.stop()
    assert not sockets()
    inputs = panel.widgets.inputs()
    panel.close()
    assert all(widget.disabled for widget in inputs)
    with pytest.raises(PanelError, match="closed"):
        panel.start()


def test_answers_are_told_apart_by_their_words() -> None:
    assert kind(200, {}, b"{}") == breaker.ANSWERED
    assert kind(503, {}, b"upstream connect error or disconnect/reset before headers. reset reason: overflow") == breaker.REFUSED
    assert kind(503, {}, b"no healthy upstream") == breaker.NOBODY
    assert kind(503, {}, b"this replica is broken\n") == breaker.BROKEN
    assert kind(504, {}, b"upstream request timeout") == ""


@pytest.mark.cluster
def test_what_was_read_before_a_change_does_not_take_it_back(panel: BreakerPanel) -> None:
    shown: list[int] = []
    panel.widgets.sliders["connections"].observe(lambda change: shown.append(change["new"]), names="value")

    async def follow() -> None:
        while True:
            await panel._follow()

    following = background.submit(follow())
    wanted = [*range(1, 11), *range(9, 0, -1)]
    for connections in wanted:
        panel.set_breaker(connections=connections)
    following.cancel()
    assert shown == wanted
