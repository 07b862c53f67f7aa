"""Breakers, timeouts and replicas: read from objects, written back without touching the rest."""

from __future__ import annotations

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
    assert found == Breaker(connections=3, waiting=5, errors=2, seconds=180, floor=40)
    wanted = Breaker(connections=0, waiting=1, errors=0, seconds=180)
    assert breakers.write(cluster.connection, namespace, "web", wanted) == Breaker(connections=0, waiting=1)
    spec = cluster.get("-n", namespace, "destinationrule", "web")["spec"]
    assert spec["subsets"] == [{"name": "v1", "labels": {"version": "v1"}}]
    assert spec["trafficPolicy"]["loadBalancer"] == {"simple": "ROUND_ROBIN"}
    assert spec["trafficPolicy"]["connectionPool"] == {
        "tcp": {"connectTimeout": "2s"},
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1},
    }
    assert "outlierDetection" not in spec["trafficPolicy"]
    ejecting = Breaker(connections=1, waiting=1, errors=3, seconds=10, floor=50)
    assert breakers.write(cluster.connection, namespace, "web", ejecting) == ejecting
    with pytest.raises(KubernetesError, match="no DestinationRule absent"):
        breakers.read(cluster.connection, namespace, "absent")
    with pytest.raises(KubernetesError, match="were refused"):
        breakers.write(cluster.connection, namespace, "web", Breaker(errors=1, floor=120))


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
