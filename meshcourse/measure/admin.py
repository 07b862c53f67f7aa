"""An open line to a proxy's admin interface, for what is asked several times a second.

Comes in: a Connection, a namespace and a Deployment. Goes out: pages of Envoy's admin interface (port 15000 inside the pod), through the
API server's port-forward, as `istioctl proxy-config` reads them; the proxy's counters; and what it knows of a cluster's endpoints.
Who runs it: panels, in a thread, since it blocks for some milliseconds. `proxy_stats` asks the same once, in the words a learner types.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

from meshcourse.core import errors
from meshcourse.measure import proxy_stats
from meshcourse.mesh import pods
from meshcourse.mesh.connection import Connection

Json = Mapping[str, Any]
PORT: Final = 15000


@dataclass(frozen=True)
class Endpoint:
    """One address of a cluster as an Envoy sees it. `ejected`: outlier detection has put it out. Counts are since the cluster was made."""

    address: str
    ready: bool
    ejected: bool
    requests: int
    errors: int
    active: int


class AdminLine:
    """A line that is opened by the first question, and again after the pod was replaced. Constructing it does no I/O."""

    def __init__(self, connection: Connection, namespace: str, deployment: str) -> None:
        self._connection = connection
        self._where = (namespace, deployment)
        self._lock = threading.Lock()
        self._http: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. The next question opens the line again."""
        with self._lock:
            self._hang_up()

    def get(self, path: str) -> str:
        """A page, such as `stats?filter=httpbin`. Raises KubernetesError when the proxy does not answer."""
        with self._lock:
            if self._http is not None:
                with contextlib.suppress(OSError, http.client.HTTPException, ApiException):
                    return self._ask(path)
            self._hang_up()
            try:
                return self._ask(path)
            except (OSError, http.client.HTTPException, ApiException) as error:
                self._hang_up()
                namespace, deployment = self._where
                raise errors.KubernetesError(
                    f"The proxy of {deployment} in namespace {namespace} does not answer.",
                    why=str(error) or type(error).__name__,
                    next=f"kubectl -n {namespace} get pods    # is it ready, 2/2?",
                ) from error

    def counters(self, cluster: str) -> dict[str, int]:
        """Counters and gauges of one cluster, named without `cluster.NAME;.`: {"upstream_rq_pending_overflow": 3}."""
        page = self.get(f"stats?filter={quote(_pattern(cluster))}")
        return short_names(proxy_stats.parse(page.splitlines()), cluster)

    def endpoints(self, cluster: str) -> tuple[Endpoint, ...]:
        """What the proxy knows of a cluster's addresses; nothing for a cluster that it does not hold."""
        return endpoints(json.loads(self.get(f"clusters?format=json&filter={quote(_pattern(cluster))}")), cluster)

    def _ask(self, path: str) -> str:
        if self._http is None:
            self._http = self._open()
        self._http.request("GET", f"/{path}")
        return self._http.getresponse().read().decode("utf-8", "replace")

    def _open(self) -> http.client.HTTPConnection:
        # The client's port-forward changes the ApiClient that it is given for the time of the call, so it gets one of its own.
        core = client.CoreV1Api(client.ApiClient(self._connection.api().configuration))
        line = portforward(
            core.connect_get_namespaced_pod_portforward, pods.ready(self._connection, *self._where)[0], self._where[0], ports=str(PORT)
        )
        opened = http.client.HTTPConnection("localhost", timeout=10)
        opened.sock = line.socket(PORT)
        return opened

    def _hang_up(self) -> None:
        line, self._http = self._http, None
        if line is not None:
            with contextlib.suppress(OSError):
                line.close()


def _pattern(cluster: str) -> str:
    """Part of the name that is enough for Envoy's filter, a regular expression: the host, dots and all."""
    return cluster.rpartition("|")[2].replace(".", r"\.")


def short_names(found: Mapping[str, int], cluster: str) -> dict[str, int]:
    """The stats of `cluster` alone. Envoy prints `cluster.NAME;.stat` for proxies since Istio 1.23, `cluster.NAME.stat` before."""
    short = {}
    for name, value in found.items():
        for head in (f"cluster.{cluster};.", f"cluster.{cluster}."):
            if name.startswith(head):
                short[name.removeprefix(head)] = value
    return short


def endpoints(page: Json, cluster: str) -> tuple[Endpoint, ...]:
    """The endpoints of `cluster` in the JSON of Envoy's /clusters, by address. Envoy leaves out numbers that are 0."""
    return tuple(
        sorted(
            (_endpoint(host) for each in page.get("cluster_statuses", ()) if each.get("name") == cluster for host in _hosts(each)),
            key=lambda endpoint: endpoint.address,
        )
    )


def _hosts(cluster: Json) -> Iterable[Json]:
    return [host for host in cluster.get("host_statuses", ()) if "socket_address" in host.get("address", {})]


def _endpoint(host: Json) -> Endpoint:
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", ())}
    health = host.get("health_status", {})
    return Endpoint(
        str(host["address"]["socket_address"]["address"]),
        ready=health.get("eds_health_status", "HEALTHY") == "HEALTHY",
        ejected=bool(health.get("failed_outlier_check", False)),
        requests=stats.get("rq_total", 0),
        errors=stats.get("rq_error", 0),
        active=stats.get("rq_active", 0),
    )
