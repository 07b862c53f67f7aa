"""Limits and outlier detection of one Envoy cluster, as a DestinationRule sets them and as Envoy holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core.json_types import JsonMapping
from meshcourse.mesh.envoy.cluster_names import ClusterName

UNLIMITED: Final = 2**32 - 1
"""Envoy's limit where Istio sets none."""


@dataclass(frozen=True)
class Policy:
    """Envoy's circuit breaker thresholds and outlier detection of one cluster; None: no outlier detection."""

    max_connections: int = UNLIMITED
    max_pending_requests: int = UNLIMITED
    max_requests: int = UNLIMITED
    max_retries: int = UNLIMITED
    ejects_after: int | None = None
    """Consecutive 5xx answers."""


def held(cluster: JsonMapping) -> Policy:
    """The policy of a cluster as Envoy holds it."""
    limits: JsonMapping = next(iter(cluster.get("circuitBreakers", {}).get("thresholds", ())), {})
    outlier = cluster.get("outlierDetection")
    return Policy(
        int(limits.get("maxConnections", UNLIMITED)),
        int(limits.get("maxPendingRequests", UNLIMITED)),
        int(limits.get("maxRequests", UNLIMITED)),
        int(limits.get("maxRetries", UNLIMITED)),
        None if outlier is None else int(outlier.get("consecutive5xx", 5) or 0),
    )


def find(clusters: list[dict[str, Any]], host: str, subset: str) -> JsonMapping | None:
    """The outbound cluster of a Service's full name and subset, with any port; None when Envoy holds none."""
    for cluster in clusters:
        name = ClusterName.parse(str(cluster.get("name", "")))
        if (name.direction, name.subset, name.host) == ("outbound", subset, host):
            return cluster
    return None
