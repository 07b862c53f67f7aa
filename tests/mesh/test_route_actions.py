"""Timeout, retries, fault and mirror of a route: the same lines from a VirtualService and from Envoy."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.kube import resources
from meshcourse.mesh import propagation
from meshcourse.mesh.envoy import config_dump, route_actions, traffic_policy

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 2}}
    outlierDetection: {consecutive5xxErrors: 3}
  subsets:
  - {name: v1, labels: {version: v1}}
"""
RULES = {
    "timeout": "timeout: 0.5s",
    "retries": "retries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx,503'}",
    "attempts": "retries: {attempts: 5}",
    "none": "retries: {attempts: 0}",
    "delay": "fault: {delay: {fixedDelay: 2s, percentage: {value: 12.5}}}",
    "abort": "fault: {abort: {httpStatus: 503, percentage: {value: 50}}}",
    "mirror": "mirror: {host: web, subset: v1}",
}


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("0.500s", 0.5), ("1m30s", 90.0), ("500ms", 0.5), ("2h", 7200.0), ("0s", 0.0), ("soon", 0.0), ("5", 0.0)],
)
def test_durations_of_both_spellings_are_seconds(written: str, wanted: float) -> None:
    assert route_actions.seconds(written) == wanted


def test_what_istio_does_unasked_is_no_line() -> None:
    unasked = {"numRetries": 2, "retryOn": "connect-failure,refused-stream,unavailable,cancelled"}
    assert route_actions.held({"route": {"cluster": "x", "timeout": "0s", "retryPolicy": unasked}}) == ()
    assert route_actions.described_by({"route": []}) == ()


@pytest.mark.cluster
@pytest.mark.parametrize("name", RULES)
def test_envoy_holds_what_the_virtual_service_describes(cluster: Any, injected: str, name: str) -> None:
    route = f"  - route: [{{destination: {{host: web}}}}]\n    {RULES[name]}\n"
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\nspec:\n  hosts: [web]\n  http:\n"
    gateway = "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: web}\nspec:\n  selector: {istio: ingressgateway}\n"
    gateway += f"  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{injected}.example.com]}}]\n"
    manifest = head.replace("hosts: [web]", f"hosts: [{injected}.example.com]\n  gateways: [web]") + route + gateway
    resources.apply(cluster.connection, SERVICE + "---\n" + manifest, namespace=injected)
    came = propagation.wait(cluster.connection, injected, timeout=10.0)
    assert came.missing == ()
    (found,) = config_dump.of(cluster.connection, injected, "web")
    assert found.treatment, "the rule leaves its line"


def test_limits_not_set_are_istios_own() -> None:
    rule = {"spec": {"host": "web", "subsets": [{"name": "v1"}, {"name": "v2", "trafficPolicy": {"outlierDetection": {}}}]}}
    assert dict(traffic_policy.described_by(rule)) == {
        "": traffic_policy.Policy(),
        "v1": traffic_policy.Policy(),
        "v2": traffic_policy.Policy(ejects_after=5),
    }
