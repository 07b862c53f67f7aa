"""The circuit breaker of a DestinationRule: its limits and its outlier detection, as a few numbers for sliders.

Only the rule's own traffic policy is read, not its subsets'. Only changed fields are written; all others stay as they are. Blocking; a few
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core.json_types import JsonMapping
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.rules.istio_object import Rule

_OWN: Final = frozenset({"maxConnections", "http1MaxPendingRequests", "consecutive5xxErrors", "baseEjectionTime", "minHealthPercent"})
NEW: Final = {"interval": "1s", "maxEjectionPercent": 100}
"""Defaults for an outlier detection that a slider adds to a rule without one: Istio's own, 10 s and 10 %, hide its effect."""


@dataclass(frozen=True)
class Breaker:
    """What a rule sets for every Envoy that calls its host. 0 means: no such limit, or no ejection."""

    connections: int = 0
    """`connectionPool.tcp.maxConnections`"""
    waiting: int = 0
    """`connectionPool.http.http1MaxPendingRequests`"""
    errors: int = 0
    """`outlierDetection.consecutive5xxErrors`"""
    seconds: float | None = None
    """`outlierDetection.baseEjectionTime`; None in a rule without outlier detection."""
    floor: int | None = None
    """`outlierDetection.minHealthPercent`, None likewise: with fewer healthy endpoints, ejections are ignored"""
    others: tuple[tuple[str, str], ...] = ()
    """(field, value) of the rule's other limits and ejection settings, which have no slider."""


def described_by(rule: JsonMapping) -> Breaker:
    """The breaker of a DestinationRule, without its subsets'."""
    policy = rule.get("spec", {}).get("trafficPolicy") or {}
    pool, outlier = policy.get("connectionPool") or {}, policy.get("outlierDetection")
    detection = outlier or {}
    others = [*_others(pool), *_others(detection)]
    if policy.get("portLevelSettings"):
        others.append(("portLevelSettings", "(which replace all of this for their ports)"))
    return Breaker(
        connections=int((pool.get("tcp") or {}).get("maxConnections") or 0),
        waiting=int((pool.get("http") or {}).get("http1MaxPendingRequests") or 0),
        errors=0 if outlier is None else int(detection.get("consecutive5xxErrors", 5)),
        seconds=None if outlier is None else route_actions.seconds(detection.get("baseEjectionTime", "30s")),
        floor=None if outlier is None else int(detection.get("minHealthPercent") or 0),
        others=tuple(others),
    )


def _others(settings: JsonMapping) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _others(value)
        elif name not in _OWN:
            yield name, str(value)


def patch(held: Breaker, wanted: Breaker) -> dict[str, Any]:
    """The merge patch: the fields that differ. Fields of outlier detection are written only when there is one."""
    pool: dict[str, Any] = {}
    if wanted.connections != held.connections:
        pool["tcp"] = {"maxConnections": wanted.connections or None}
    if wanted.waiting != held.waiting:
        pool["http"] = {"http1MaxPendingRequests": wanted.waiting or None}
    outlier: dict[str, Any] = {}
    new = held.seconds is None
    if not new or wanted.errors:
        outlier = dict(NEW) if new else {}
        if new or wanted.errors != held.errors:
            outlier["consecutive5xxErrors"] = wanted.errors
        if wanted.seconds is not None and wanted.seconds != held.seconds:
            outlier["baseEjectionTime"] = f"{round(1000 * wanted.seconds)}ms"
        if wanted.floor is not None and wanted.floor != held.floor:
            outlier["minHealthPercent"] = wanted.floor
    policy = {name: value for name, value in (("connectionPool", pool), ("outlierDetection", outlier)) if value}
    return {"spec": {"trafficPolicy": policy}} if policy else {}


def read(connection: Connection, namespace: str, name: str) -> Breaker:
    """The breaker that the API server holds. Raises KubernetesError when there is no such rule."""
    return described_by(Rule(connection, namespace, name, "DestinationRule").read())


def write(connection: Connection, namespace: str, name: str, held: Breaker, wanted: Breaker) -> Breaker:
    """Change what differs from `held`; returns what the API server then holds. Raises KubernetesError when it or the webhook refuses."""
    return described_by(Rule(connection, namespace, name, "DestinationRule").patch(patch(held, wanted), "new limits"))
