"""One request through its proxies, from their access logs: the time in each, where it was sent, and which proxy gave up.

A request is found by a mark in its User-Agent; behind the first proxy by the X-Request-ID that Envoy sets, which applications must forward.
Envoy writes its log about once a second, so the last lines come late. Reading logs blocks.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.kube import pods, resources
from meshcourse.kube.connection import Connection
from meshcourse.measure import access_logs, proxy_counters
from meshcourse.measure.access_logs import Entry
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation

FLUSH: Final = 1.3
"""Seconds within which Envoy flushes its log, and a little more."""


@dataclass(frozen=True)
class Hop:
    """A request in one proxy: inbound to its application, or outbound to a Service; from one log line."""

    pod: str
    workload: str
    entry: Entry

    @property
    def cluster(self) -> ClusterName:
        """The Envoy cluster that was chosen; without parts where the proxy itself answered."""
        return ClusterName.parse(self.entry["upstream_cluster"])

    @property
    def inward(self) -> bool:
        """Whether it went to the proxy's own application."""
        return self.cluster.inward

    @property
    def address(self) -> str:
        """The IP address of the upstream; empty for none."""
        return self.entry["upstream_host"].rpartition(":")[0]

    @property
    def began(self) -> dt.datetime:
        """When the request reached the proxy."""
        return dt.datetime.fromisoformat(self.entry["start_time"])

    @property
    def seconds(self) -> float:
        """How long it was in the proxy."""
        duration = self.entry["duration"]
        return int(duration) / 1000 if duration.isdigit() else 0.0


def find(connection: Connection, namespace: str, mark: str, *, within: float = 8.0) -> tuple[Hop, ...]:
    """The hops of the request with this mark, the gateway's first; none when the gateway has not logged it within `within` seconds.

    Raises KubernetesError when there is no gateway, or a log cannot be read.
    """
    every = [pod for pod in resources.read(connection.core().list_namespaced_pod, namespace).items if pods.is_ready(pod)]
    inside = {str(pod.status.pod_ip): pod for pod in every if sidecars.has_sidecar(pod)}
    gateways = pods.ready(connection, installation.NAMESPACE, installation.INGRESS)
    places = [(installation.NAMESPACE, name, installation.INGRESS) for name in gateways]
    places += [(namespace, str(pod.metadata.name), _workload(pod)) for pod in inside.values()]
    ends, found, news = time.monotonic() + within, tuple[Hop, ...](), time.monotonic()

    def read(place: tuple[str, str, str]) -> list[Hop]:
        where, pod, workload = place
        return [Hop(pod, workload, entry) for entry in logged(connection, where, pod, round(within) + 5)]

    with ThreadPoolExecutor(max_workers=4) as several:
        while time.monotonic() < ends:
            seen = chosen(mark, (hop for hops in several.map(read, places) for hop in hops))
            now = time.monotonic()
            news = now if len(seen) != len(found) else news
            found = seen
            entered = {hop.pod for hop in found if hop.inward}
            due = {str(inside[hop.address].metadata.name) for hop in found if hop.address in inside}
            if found and due <= entered and now - news > FLUSH:
                break
            time.sleep(0.2)
    return found


def _workload(pod: Any) -> str:  # noqa: ANN401 - the Kubernetes client is untyped
    return proxy_counters.workload(str(pod.metadata.name), pod.metadata.labels or {})


def chosen(mark: str, every: Iterable[Hop]) -> tuple[Hop, ...]:
    """The hops of the request with this mark among all log entries, in the order of time."""
    hops = list(every)
    ids = {each.entry["request_id"] for each in hops if each.entry["user_agent"] == mark} - {"-"}
    own = [each for each in hops if each.entry["user_agent"] == mark or each.entry["request_id"] in ids]
    return tuple(sorted(own, key=lambda each: (each.began, each.inward)))


@dataclass(frozen=True)
class Place:
    """One direction of one proxy: `inward` to its own application, or out to another Service. `name` is for the reader."""

    name: str
    namespace: str
    deployment: str
    inward: bool = False


@dataclass(frozen=True)
class Span:
    """A request in one place. `started` is in seconds since the epoch; `code` is 0 when no answer was sent; `flags` such as UT or DC."""

    place: Place
    started: float
    seconds: float
    code: int
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Journey:
    """A request as its sender saw it, and its hops. `asked` is the delay that the last server was asked for, `limits` the timeouts then."""

    number: int
    asked: float
    limits: tuple[float, ...]
    status: int
    seconds: float
    hops: tuple[Span, ...] = ()

    @property
    def expected(self) -> float:
        """How long the sender should wait: for the answer, or for the first timeout before it."""
        return min((self.asked, *(limit for limit in self.limits if limit)))

    @property
    def quitter(self) -> Span | None:
        """The hop that gave up waiting (UT), if one did."""
        return next((hop for hop in self.hops if "UT" in hop.flags), None)


def read(connection: Connection, places: Iterable[Place], *, seconds: int) -> dict[Place, tuple[Entry, ...]]:
    """What each place's proxies logged in the last `seconds`. Raises KubernetesError when a Deployment has no ready pod."""
    found: dict[Place, tuple[Entry, ...]] = {}
    lines: dict[tuple[str, str], tuple[Entry, ...]] = {}
    for place in places:
        where = (place.namespace, place.deployment)
        if where not in lines:
            lines[where] = tuple(_entries(connection, *where, seconds))
        found[place] = tuple(entry for entry in lines[where] if ClusterName.parse(entry["upstream_cluster"]).inward is place.inward)
    return found


def _entries(connection: Connection, namespace: str, deployment: str, seconds: int) -> Iterable[Entry]:
    for pod in pods.ready(connection, namespace, deployment):
        yield from logged(connection, namespace, pod, seconds)


def logged(connection: Connection, namespace: str, pod: str, seconds: int) -> tuple[Entry, ...]:
    """What one pod's proxy logged in the last `seconds`, at most its last 300 lines (more on a shared gateway).

    Raises KubernetesError when it cannot be read.
    """
    lines = 300 * access_logs.crowd(connection)
    read = connection.core().read_namespaced_pod_log
    text = resources.ask(read, pod, namespace, container=sidecars.PROXY, since_seconds=seconds, tail_lines=lines)
    return tuple(access_logs.parse(str(text).splitlines()))


def hops(mark: str, logged: Mapping[Place, Sequence[Entry]]) -> tuple[Span, ...]:
    """The request with this mark in each place, in the order of the places; a place without a log line yet is left out."""
    found = [(place, Hop("", place.name, entry)) for place, entries in logged.items() for entry in entries if entry["user_agent"] == mark]
    return tuple(Span(place, hop.began.timestamp(), hop.seconds, hop.entry.code, hop.entry.flags) for place, hop in found)
