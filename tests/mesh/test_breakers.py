"""Breakers, timeouts and replicas: read from objects, written back without changing the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcourse.core.errors import KubernetesError
from meshcourse.kube import replicas
from meshcourse.mesh.rules import breakers, timeouts
from meshcourse.mesh.rules.breakers import Breaker

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets: [{name: v1, labels: {version: v1}}]
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    connectionPool:
      tcp: {maxConnections: 3, connectTimeout: 2s}
      http: {http1MaxPendingRequests: 5, maxRequestsPerConnection: 1}
    outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 3m, minHealthPercent: 40}
"""
SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - {name: one, timeout: 1s, route: [{destination: {host: web}}]}
  - {name: two, route: [{destination: {host: web}}]}
"""


def test_a_rule_without_policy_is_a_breaker_without_limits() -> None:
    assert breakers.described_by({"spec": {"host": "web"}}) == Breaker()
    assert breakers.described_by({"spec": {"trafficPolicy": {"outlierDetection": {}}}}).errors == 5, "Envoy's default"


@pytest.mark.cluster
def test_a_breaker_is_written_and_the_rest_of_the_rule_stays(cluster: Any, namespace: str) -> None:
    cluster.apply(namespace, RULE)
    found = breakers.read(cluster.connection, namespace, "web")
    assert (found.connections, found.waiting, found.errors, found.seconds, found.floor) == (3, 5, 2, 180, 40)
    held = breakers.write(cluster.connection, namespace, "web", found, replace(found, connections=0, waiting=1, errors=0))
    assert held == replace(found, connections=0, waiting=1, errors=0)
    spec = cluster.get("-n", namespace, "destinationrule", "web")["spec"]
    assert spec["subsets"] == [{"name": "v1", "labels": {"version": "v1"}}]
    assert spec["trafficPolicy"]["loadBalancer"] == {"simple": "ROUND_ROBIN"}
    assert spec["trafficPolicy"]["connectionPool"] == {
        "tcp": {"connectTimeout": "2s"},
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1},
    }
    assert spec["trafficPolicy"]["outlierDetection"] == {"consecutive5xxErrors": 0, "baseEjectionTime": "3m", "minHealthPercent": 40}
    with pytest.raises(KubernetesError, match="no DestinationRule absent"):
        breakers.read(cluster.connection, namespace, "absent")
    with pytest.raises(KubernetesError, match="were refused"):
        breakers.write(cluster.connection, namespace, "web", held, replace(held, floor=120))


GATEWAYS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  trafficPolicy:
    connectionPool: {http: {maxRetries: 7}}
    outlierDetection: {consecutiveGatewayErrors: 3, consecutive5xxErrors: 0, interval: 7s, maxEjectionPercent: 34}
"""


@pytest.mark.cluster
def test_fields_without_a_slider_stay_as_they_are_and_are_told(cluster: Any, namespace: str) -> None:
    cluster.apply(namespace, GATEWAYS)
    held = breakers.read(cluster.connection, namespace, "web")
    assert held.errors == 0
    others = {"maxRetries": "7", "consecutiveGatewayErrors": "3", "interval": "7s", "maxEjectionPercent": "34"}
    assert dict(held.others) == others
    for field, value in (("connections", 2), ("errors", 4), ("seconds", 12.0), ("floor", 20), ("errors", 0)):
        held = breakers.write(cluster.connection, namespace, "web", held, replace(held, **{field: value}))
        assert getattr(held, field) == value
        assert dict(held.others) == others


def test_a_slider_of_a_detection_that_is_not_there_waits_for_it() -> None:
    assert breakers.patch(Breaker(), Breaker(seconds=10.0, floor=50)) == {}
    made = breakers.patch(Breaker(), Breaker(errors=3, seconds=10.0, floor=50))["spec"]["trafficPolicy"]["outlierDetection"]
    assert made == {**breakers.NEW, "consecutive5xxErrors": 3, "baseEjectionTime": "10000ms", "minHealthPercent": 50}


@pytest.mark.cluster
def test_a_timeout_is_moved_alone(cluster: Any, namespace: str) -> None:
    cluster.apply(namespace, SERVICE)
    assert timeouts.read(cluster.connection, namespace, "web") == 1.0
    assert timeouts.read(cluster.connection, namespace, "web", 1) == 0.0
    assert timeouts.write(cluster.connection, namespace, "web", 2.5, 1) == 2.5
    assert timeouts.write(cluster.connection, namespace, "web", 0.0) == 0.0
    assert timeouts.read(cluster.connection, namespace, "web", 1) == 2.5
    with pytest.raises(KubernetesError, match="no VirtualService absent"):
        timeouts.read(cluster.connection, namespace, "absent")
    with pytest.raises(KubernetesError, match="refused"):
        timeouts.write(cluster.connection, namespace, "web", 1.0, 7)


@pytest.mark.cluster
def test_replicas_are_set_and_read(cluster: Any, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "deployment", "web", "--image=nginx", "--replicas=0")
    assert replicas.read(cluster.connection, namespace, "web") == 0
    replicas.write(cluster.connection, namespace, "web", 1)
    assert replicas.read(cluster.connection, namespace, "web") == 1
    assert replicas.read(cluster.connection, namespace, "absent") is None
    with pytest.raises(KubernetesError, match="cannot be scaled"):
        replicas.write(cluster.connection, namespace, "absent", 1)
