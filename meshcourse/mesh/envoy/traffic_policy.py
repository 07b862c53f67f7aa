"""Limits and ejection: what a DestinationRule asks of an Envoy cluster, and what Envoy holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]
UNLIMITED: Final = 2**32 - 1
"""What Istio writes into Envoy where nobody set a limit."""


@dataclass(frozen=True)
class Policy:
    """Envoy's circuit breaker thresholds and outlier detection of one cluster; None: no outlier detection."""

    max_connections: int = UNLIMITED
    max_pending_requests: int = UNLIMITED
    max_requests: int = UNLIMITED
    max_retries: int = UNLIMITED
    ejects_after: int | None = None
    """Consecutive 5xx answers."""


def held(cluster: Json) -> Policy:
    """The policy of a cluster as Envoy holds it."""
    limits: Json = next(iter(cluster.get("circuitBreakers", {}).get("thresholds", ())), {})
    outlier = cluster.get("outlierDetection")
    return Policy(
        int(limits.get("maxConnections", UNLIMITED)),
        int(limits.get("maxPendingRequests", UNLIMITED)),
        int(limits.get("maxRequests", UNLIMITED)),
        int(limits.get("maxRetries", UNLIMITED)),
        None if outlier is None else int(outlier.get("consecutive5xx", 5) or 0),
    )


def described_by(rule: Json) -> Iterator[tuple[str, Policy]]:
    """(subset, Policy) for the rule itself (subset "") and each of its subsets, which take from the rule what they do not say.

    Policies by port are left out: the course's lessons use none.
    """
    spec = rule.get("spec", {})
    whole = spec.get("trafficPolicy") or {}
    yield "", _policy(whole)
    for subset in spec.get("subsets") or ():
        yield str(subset.get("name", "")), _policy({**whole, **(subset.get("trafficPolicy") or {})})


def _policy(traffic: Json) -> Policy:
    pool = traffic.get("connectionPool") or {}
    tcp, http = pool.get("tcp") or {}, pool.get("http") or {}
    outlier = traffic.get("outlierDetection")
    return Policy(
        int(tcp.get("maxConnections") or UNLIMITED),
        int(http.get("http1MaxPendingRequests") or UNLIMITED),
        int(http.get("http2MaxRequests") or UNLIMITED),
        int(http.get("maxRetries") or UNLIMITED),
        None if outlier is None else int(outlier.get("consecutive5xxErrors", 5)),
    )


def find(clusters: list[dict[str, Any]], host: str, subset: str) -> Json | None:
    """The outbound cluster of a Service's full name and subset, whatever its port; None when Envoy holds none."""
    for cluster in clusters:
        parts = str(cluster.get("name", "")).split("|")
        if len(parts) == 4 and parts[0] == "outbound" and parts[2] == subset and parts[3] == host:  # noqa: PLR2004 - direction|port|subset|host
            return cluster
    return None
