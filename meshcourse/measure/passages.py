"""One request through every proxy that it passed, wherever that was: the lines that their access logs have of it.

The gateway's line has the mark, and the X-Request-ID that Envoy gave the request; the sidecars' lines are found by that, for an application
that hands it on. Envoy writes its log about once a second, so the search goes on until a second brought nothing new.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from meshcourse.kube import pods, resources
from meshcourse.kube import pods as ready_pods
from meshcourse.kube.connection import Connection
from meshcourse.measure import request_hops
from meshcourse.measure.access_logs import Entry
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation

FLUSH: Final = 1.2
"""Seconds within which Envoy writes what it has logged, and a little more."""


@dataclass(frozen=True)
class Passage:
    """One way through one proxy: in to the program beside it, or out to a Service."""

    pod: str
    entry: Entry

    @property
    def inward(self) -> bool:
        """Whether it went to the program beside the proxy."""
        return self.entry["upstream_cluster"].startswith("inbound|")

    @property
    def destination(self) -> tuple[str, str]:
        """(host, subset) of the cluster that Envoy chose; empty where it chose none."""
        _, _, subset, host = (*self.entry["upstream_cluster"].split("|"), "", "", "")[:4]
        return host, subset

    @property
    def address(self) -> str:
        """The IP address that it was sent to; empty for none."""
        return self.entry["upstream_host"].rpartition(":")[0]


def find(connection: Connection, namespace: str, mark: str, *, within: float = 8.0) -> tuple[Passage, ...]:
    """The request's passages, from the gateway on. Empty when the gateway has not logged it within `within` seconds.

    Raises KubernetesError when there is no gateway, or a log cannot be read.
    """
    gateways = [(installation.NAMESPACE, name) for name in pods.ready(connection, installation.NAMESPACE, installation.INGRESS)]
    every = resources.read(connection.core().list_namespaced_pod, namespace).items
    proxied = {str(pod.status.pod_ip): str(pod.metadata.name) for pod in every if sidecars.has_sidecar(pod) and ready_pods.is_ready(pod)}
    places = [*gateways, *((namespace, name) for name in proxied.values())]
    ends, found, news = time.monotonic() + within, tuple[Passage, ...](), time.monotonic()
    while time.monotonic() < ends:
        logs = {name: request_hops.logged(connection, where, name, round(within) + 5) for where, name in places}
        seen = chosen(mark, logs)
        now = time.monotonic()
        news = now if len(seen) != len(found) else news
        found = seen
        entered = {passage.pod for passage in found if passage.inward}
        due = {proxied[passage.address] for passage in found if passage.address in proxied}
        if found and due <= entered and now - news > FLUSH:
            break
        time.sleep(0.2)
    return found


def chosen(mark: str, logs: Mapping[str, Iterable[Entry]]) -> tuple[Passage, ...]:
    """The passages of the request with this mark among all that pods' proxies logged, in the order of time."""
    passages = [Passage(pod, entry) for pod, entries in logs.items() for entry in entries]
    ids = {each.entry["request_id"] for each in passages if each.entry["user_agent"] == mark} - {"-"}
    own = [each for each in passages if each.entry["user_agent"] == mark or each.entry["request_id"] in ids]
    return tuple(sorted(own, key=lambda each: (each.entry["start_time"], each.inward)))
