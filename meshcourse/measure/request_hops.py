"""One request hop by hop: from the access logs of the proxies that it passed, how long it was where, and who gave up.

`hops` is pure; `read` fetches logs through the API server, in a thread, since it blocks. Envoy writes its log about once a second, so the
last hop may come late.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshcourse.kube import pods, resources
from meshcourse.kube.connection import Connection
from meshcourse.measure import access_logs
from meshcourse.measure.access_logs import Entry

PROXY: Final = "istio-proxy"


@dataclass(frozen=True)
class Place:
    """One way through one proxy: `inward` to the program beside it, or out to another Service. `name` is what a reader calls it."""

    name: str
    namespace: str
    deployment: str
    inward: bool = False


@dataclass(frozen=True)
class Hop:
    """A request in one place. `started` is in seconds since the epoch; `code` is 0 when no answer went back; `flags` such as UT or DC."""

    place: Place
    started: float
    seconds: float
    code: int
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Journey:
    """A request as its sender saw it, and its hops. `asked` is how long the last server was asked to take, `limits` the timeouts then."""

    number: int
    asked: float
    limits: tuple[float, ...]
    status: int
    seconds: float
    hops: tuple[Hop, ...] = ()

    @property
    def expected(self) -> float:
        """What the sender should wait: the answer, or the first timeout before it."""
        return min((self.asked, *(limit for limit in self.limits if limit)))

    @property
    def quitter(self) -> Hop | None:
        """The hop that gave up waiting (UT), if one did."""
        return next((hop for hop in self.hops if "UT" in hop.flags), None)


def read(connection: Connection, places: Iterable[Place], *, seconds: int) -> dict[Place, tuple[Entry, ...]]:
    """What the proxies of each place logged in the last `seconds`. Raises KubernetesError when a Deployment has no ready pod."""
    found: dict[Place, tuple[Entry, ...]] = {}
    lines: dict[tuple[str, str], tuple[Entry, ...]] = {}
    for place in places:
        where = (place.namespace, place.deployment)
        if where not in lines:
            lines[where] = tuple(_entries(connection, *where, seconds))
        found[place] = tuple(entry for entry in lines[where] if entry["upstream_cluster"].startswith("inbound|") is place.inward)
    return found


def _entries(connection: Connection, namespace: str, deployment: str, seconds: int) -> Iterable[Entry]:
    for pod in pods.ready(connection, namespace, deployment):
        yield from logged(connection, namespace, pod, seconds)


def logged(connection: Connection, namespace: str, pod: str, seconds: int) -> tuple[Entry, ...]:
    """What one pod's proxy logged in the last `seconds`, its last 300 lines at most (more of a gateway that several share).

    Raises KubernetesError when it cannot be read.
    """
    lines = 300 * access_logs.crowd(connection)
    read = connection.core().read_namespaced_pod_log
    text = resources.ask(read, pod, namespace, container=PROXY, since_seconds=seconds, tail_lines=lines)
    return tuple(access_logs.parse(str(text).splitlines()))


def hops(mark: str, logged: Mapping[Place, Sequence[Entry]]) -> tuple[Hop, ...]:
    """The hops of the request with this mark, in the order of the places; a place whose line has not come yet is left out."""
    return tuple(_hop(place, entry) for place, entries in logged.items() for entry in entries if entry["user_agent"] == mark)


def _hop(place: Place, entry: Entry) -> Hop:
    started = dt.datetime.fromisoformat(entry["start_time"]).timestamp()
    duration = entry["duration"]
    return Hop(place, started, int(duration) / 1000 if duration.isdigit() else 0.0, entry.code, entry.flags)
