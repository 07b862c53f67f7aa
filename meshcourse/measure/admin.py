"""Counters and endpoints of a Deployment's proxy, over a kept-open connection, for several reads a second.

`proxy_stats` reads the same once, by the command that a learner types.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from meshcourse.core.json_types import JsonMapping
from meshcourse.kube.connection import Connection
from meshcourse.measure import proxy_stats
from meshcourse.mesh.envoy import admin
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.injection import sidecars


@dataclass(frozen=True)
class Endpoint:
    """One address of a cluster as an Envoy sees it. `ejected`: by outlier detection. Counts start when the cluster is created."""

    address: str
    ready: bool
    ejected: bool
    requests: int
    errors: int


class AdminLine(admin.AdminConnection):
    """A connection to a ready pod of a Deployment that has a sidecar, reopened to another pod when that one is replaced."""

    def __init__(self, connection: Connection, namespace: str, deployment: str) -> None:
        super().__init__(connection, namespace, lambda: sidecars.proxied(connection, namespace, deployment)[0])

    def counters(self, cluster: str) -> dict[str, int]:
        """Counters and gauges of one cluster, named without `cluster.NAME;.`: {"upstream_rq_pending_overflow": 3}."""
        page = self.get(f"stats?filter={quote(_pattern(cluster))}")
        return short_names(proxy_stats.parse(page.splitlines()), cluster)

    def endpoints(self, cluster: str) -> tuple[Endpoint, ...]:
        """A cluster's endpoints as the proxy holds them; none for an unknown cluster."""
        return endpoints(json.loads(self.get(f"clusters?format=json&filter={quote(_pattern(cluster))}")), cluster)


def _pattern(cluster: str) -> str:
    """The part of the name that suffices for Envoy's filter, a regular expression: the host, with its dots."""
    return ClusterName.parse(cluster).host.replace(".", r"\.")


def short_names(found: Mapping[str, int], cluster: str) -> dict[str, int]:
    """The stats of `cluster` alone. Envoy prints `cluster.NAME;.stat` for proxies since Istio 1.23, `cluster.NAME.stat` before."""
    short = {}
    for name, value in found.items():
        for head in (f"cluster.{cluster};.", f"cluster.{cluster}."):
            if name.startswith(head):
                short[name.removeprefix(head)] = value
    return short


def endpoints(page: JsonMapping, cluster: str) -> tuple[Endpoint, ...]:
    """The endpoints of `cluster` in the JSON of Envoy's /clusters, by address. Envoy leaves out numbers that are 0."""
    return tuple(
        sorted(
            (_endpoint(host) for each in page.get("cluster_statuses", ()) if each.get("name") == cluster for host in _hosts(each)),
            key=lambda endpoint: endpoint.address,
        )
    )


def _hosts(cluster: JsonMapping) -> Iterable[JsonMapping]:
    return [host for host in cluster.get("host_statuses", ()) if "socket_address" in host.get("address", {})]


def _endpoint(host: JsonMapping) -> Endpoint:
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", ())}
    health = host.get("health_status", {})
    return Endpoint(
        str(host["address"]["socket_address"]["address"]),
        ready=health.get("eds_health_status", "HEALTHY") == "HEALTHY",
        ejected=bool(health.get("failed_outlier_check", False)),
        requests=stats.get("rq_total", 0),
        errors=stats.get("rq_error", 0),
    )
