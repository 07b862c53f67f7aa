"""The breaker of a DestinationRule: its limits and its outlier detection, as a few numbers that sliders can move.

Blocking; a few milliseconds. `policies.py` compares a rule with what Envoy holds; here a rule is read and written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.rules.istio_object import Rule

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Breaker:
    """What a rule asks of every Envoy that calls its host. 0 means: no such limit, or no ejection."""

    connections: int = 0
    """`connectionPool.tcp.maxConnections`"""
    waiting: int = 0
    """`connectionPool.http.http1MaxPendingRequests`"""
    errors: int = 0
    """`outlierDetection.consecutive5xxErrors`"""
    seconds: int = 30
    """`outlierDetection.baseEjectionTime`"""
    floor: int = 0
    """`outlierDetection.minHealthPercent`: with fewer endpoints in, ejections are ignored"""


def described_by(rule: Json) -> Breaker:
    """The breaker of a DestinationRule, without its subsets'."""
    policy = rule.get("spec", {}).get("trafficPolicy") or {}
    pool, outlier = policy.get("connectionPool") or {}, policy.get("outlierDetection")
    detection = outlier or {}
    return Breaker(
        connections=int((pool.get("tcp") or {}).get("maxConnections") or 0),
        waiting=int((pool.get("http") or {}).get("http1MaxPendingRequests") or 0),
        errors=0 if outlier is None else int(detection.get("consecutive5xxErrors", 5)),
        seconds=round(route_actions.seconds(detection.get("baseEjectionTime", "30s"))),
        floor=int(detection.get("minHealthPercent") or 0),
    )


def patch(wanted: Breaker) -> dict[str, Any]:
    """The merge patch. A breaker that ejects nobody has no outlierDetection at all, since Istio then leaves it out of Envoy too."""
    outlier = {
        "consecutive5xxErrors": wanted.errors,
        "interval": "1s",
        "baseEjectionTime": f"{wanted.seconds}s",
        "maxEjectionPercent": 100,
        "minHealthPercent": wanted.floor,
    }
    pool = {
        "tcp": {"maxConnections": wanted.connections or None},
        "http": {"http1MaxPendingRequests": wanted.waiting or None},
    }
    return {"spec": {"trafficPolicy": {"connectionPool": pool, "outlierDetection": outlier if wanted.errors else None}}}


def read(connection: Connection, namespace: str, name: str) -> Breaker:
    """The breaker that the API server holds. Raises KubernetesError when there is no such rule."""
    return described_by(Rule(connection, namespace, name, "DestinationRule").read())


def write(connection: Connection, namespace: str, name: str, wanted: Breaker) -> Breaker:
    """Change the rule and return what the API server then holds. Raises KubernetesError when it or Istio's webhook refuses."""
    return described_by(Rule(connection, namespace, name, "DestinationRule").patch(patch(wanted), "new limits"))
