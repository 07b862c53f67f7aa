"""One workload in detail: its pods, what its Envoy holds for its namespace, and the last calls in its proxy's log.

Of several pods one is read, a ready one if possible. Parsing is pure.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from meshcourse.core import errors
from meshcourse.core.json_types import JsonMapping
from meshcourse.kube import pods as ready_pods
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.measure import access_logs, admin, proxy_counters
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.admin import Endpoint
from meshcourse.measure.topology import OUTSIDE
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.envoy.admin import AdminConnection
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.envoy.config_dump import Route
from meshcourse.mesh.injection import sidecars

LAST: Final = 5
"""Lines of the access log."""


@dataclass(frozen=True)
class Pod:
    """`ready` as kubectl prints it: `2/2`."""

    name: str
    ready: str
    address: str


@dataclass(frozen=True)
class Group:
    """An Envoy cluster: a port of a Service, or of one subset of it."""

    service: str
    port: str
    subset: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True)
class Held:
    """A route for calls to `host`, such as `reviews:9080`, and its VirtualService (empty: Istio's own)."""

    host: str
    route: Route
    virtual_service: str


@dataclass(frozen=True)
class Part:
    """A table, the command that shows more of it, and the text where it has no rows. Without a `head` the rows are lines of text."""

    title: str
    command: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    none: str


@dataclass(frozen=True)
class Workload:
    """A workload at one moment. `proxy` is the pod whose Envoy was read (empty: none has one); `names` maps addresses to pod names."""

    namespace: str
    name: str
    pods: tuple[Pod, ...] = ()
    proxy: str = ""
    groups: tuple[Group, ...] = ()
    routes: tuple[Held, ...] = ()
    log: tuple[Entry, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """One sentence about it."""
        if self.name == OUTSIDE:
            return (
                f"{OUTSIDE} is no pod here: calls that no pod of {self.namespace} made, from the ingress gateway or another namespace. "
                "Nothing of it can be read in this namespace."
            )
        where = f"{self.name} in {self.namespace}"
        return f"{where}, by the Envoy of {self.proxy}" if self.proxy else f"{where} has no sidecar, so there is no Envoy to read"

    def parts(self) -> tuple[Part, ...]:
        """The tables."""
        if self.name == OUTSIDE:
            return ()
        kubectl, istioctl = ["kubectl", "-n", self.namespace], ["istioctl", "-n", self.namespace, "proxy-config"]
        pods = Part(
            "Its pods",
            shlex.join([*kubectl, "get", "pods", "-o", "wide"]),
            ("pod", "ready", "address"),
            tuple((pod.name, pod.ready, pod.address) for pod in self.pods),
            "none",
        )
        if not self.proxy:
            return (pods,)
        return (
            pods,
            Part(
                "What its Envoy can call in this namespace (its clusters and their endpoints)",
                shlex.join([*istioctl, "endpoints", self.proxy]),
                ("service", "port", "subset", "addresses"),
                tuple((each.service, each.port, each.subset, self._addresses(each)) for each in self.groups),
                "no Service of this namespace",
            ),
            Part(
                "Where it sends calls (its routes)",
                shlex.join([*istioctl, "routes", self.proxy]),
                ("calls to", "if", "then", "by"),
                tuple(
                    (
                        each.host,
                        each.route.fits,
                        each.route.goes,
                        f"VirtualService {each.virtual_service}" if each.virtual_service else "Istio",
                    )
                    for each in self.routes
                ),
                "none for this namespace",
            ),
            Part(
                f"The last lines of its access log, {LAST} at most",
                shlex.join([*kubectl, "logs", self.proxy, "-c", "istio-proxy", f"--tail={LAST}"]),
                (),
                tuple((entry.line,) for entry in self.log),
                "no call has been logged yet (Envoy writes about once a second)",
            ),
        )

    def _addresses(self, group: Group) -> str:
        return "; ".join(
            f"{health(each)} {self.names.get(each.address, '')} {each.address}".replace("  ", " ") for each in group.endpoints
        ) or ("none: a call ends with 503")

    def __str__(self) -> str:
        return "\n".join([self.summary, *(line for part in self.parts() for line in _lines(part))])

    __repr__ = __str__


def health(endpoint: Endpoint) -> str:
    """A sign and a word: Envoy sends no calls to an address that is not ready, or that outlier detection has ejected."""
    return "✘ ejected:" if endpoint.ejected else "✔" if endpoint.ready else "✘ not ready:"


def _lines(part: Part) -> Iterator[str]:
    yield from ("", f"{part.title}:", f"$ {part.command}")
    rows = [part.head, *part.rows] if part.head and part.rows else part.rows
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip()
    if not rows:
        yield f"  ({part.none})"


def read(connection: Connection, namespace: str, name: str) -> Workload:
    """A workload's state now; without any parts for `OUTSIDE`.

    Raises KubernetesError when it has no pod, when the API server does not answer, and when its Envoy does not answer.
    """
    if name == OUTSIDE:
        return Workload(namespace, name)
    every = resources.read(connection.core().list_namespaced_pod, namespace).items
    own = sorted(
        (pod for pod in every if proxy_counters.workload(pod.metadata.name, pod.metadata.labels or {}) == name),
        key=lambda pod: pod.metadata.name,
    )
    if not own:
        raise errors.KubernetesError(
            f"{name} has no pod in namespace {namespace}.",
            why="it was scaled to 0, deleted, or never existed",
            next=f"kubectl -n {namespace} get deployments,pods",
        )
    pods = tuple(Pod(str(pod.metadata.name), _ready(pod), str(pod.status.pod_ip or "none yet")) for pod in own)
    proxy = next((str(pod.metadata.name) for pod in sorted(own, key=ready_pods.is_ready, reverse=True) if sidecars.has_sidecar(pod)), "")
    if not proxy:
        return Workload(namespace, name, pods)
    own_hosts = quote(rf"\.{namespace}\.svc\.")  # Envoy's filter is a regular expression
    with AdminConnection(connection, namespace, lambda: proxy) as line:
        page = json.loads(line.get(f"clusters?format=json&filter={own_hosts}"))
        tables = line.routes()
    log = access_logs.read(connection, namespace, f"pod/{proxy}")[-LAST:]
    names = {str(pod.status.pod_ip): str(pod.metadata.name) for pod in every}
    return Workload(namespace, name, pods, proxy, groups(page, namespace), routes(tables, namespace), log, names)


def _ready(pod: Any) -> str:  # noqa: ANN401 - the Kubernetes client is untyped
    """As kubectl counts: with native sidecars."""
    native = {each.name for each in pod.spec.init_containers or () if each.restart_policy == "Always"}
    states = [*(pod.status.container_statuses or ()), *(each for each in pod.status.init_container_statuses or () if each.name in native)]
    return f"{sum(bool(each.ready) for each in states)}/{len(pod.spec.containers) + len(native)}"


def groups(page: JsonMapping, namespace: str) -> tuple[Group, ...]:
    """The clusters for Services of the namespace in the JSON of Envoy's /clusters, by name."""
    found = []
    for text in sorted(str(each.get("name", "")) for each in page.get("cluster_statuses", ())):
        name = ClusterName.parse(text)
        if name.direction == "outbound" and _of(name.host, namespace):
            found.append(Group(name.service, name.port, name.subset, admin.endpoints(page, text)))
    return tuple(sorted(found, key=lambda each: (each.service, int(each.port), each.subset)))


def routes(tables: Iterable[JsonMapping], namespace: str) -> tuple[Held, ...]:
    """The routes to Services of the namespace in the JSON of `proxy-config routes`, each host's in the order in which Envoy tries them."""
    found = [
        Held(
            f"{name.partition('.')[0]}:{name.rpartition(':')[2]}",
            config_dump.from_envoy(route),
            config_dump.origin(route).rpartition("/")[2],
        )
        for table in tables
        for host in table.get("virtualHosts", ())
        if _of(name := str(host.get("name", "")), namespace)
        for route in host.get("routes", ())
    ]
    return tuple(sorted(found, key=lambda each: each.host))


def _of(host: str, namespace: str) -> bool:
    """Whether a host is a Service of the namespace: `reviews.shop.svc.cluster.local`."""
    _, _, rest = host.partition(".")
    return rest.startswith(f"{namespace}.svc.")
