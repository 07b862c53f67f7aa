"""lab.follow: one request on its way through the mesh, put together from the access logs of all proxies that it passed.

What joins the lines is the header x-request-id: the first Envoy makes it, every Envoy logs it, and the programs must hand it on.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube import pods as ready_pods
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.lab import requests, session
from meshcourse.measure import access_logs, proxy_counters
from meshcourse.measure.access_logs import Entry
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation
from meshcourse.traffic import bookstore

PATIENCE: Final = 15.0
QUIET: Final = 1.3
"""Seconds without a new line after which all have come: Envoy writes its log once a second."""
INGRESS: Final = "ingress gateway"


@dataclass(frozen=True)
class Step:
    """One line of one proxy's log."""

    proxy: str
    entry: Entry

    @property
    def outward(self) -> bool:
        """Whether the proxy sent the request on to another pod, rather than to the program beside it."""
        return not self.entry["upstream_cluster"].startswith("inbound|")

    @property
    def at(self) -> dt.datetime:
        """When the request came to the proxy."""
        return dt.datetime.fromisoformat(self.entry["start_time"])

    @property
    def target(self) -> str:
        """Whom the proxy passed it to."""
        if not self.outward:
            return "its own program"
        _, _, subset, host = (*self.entry["upstream_cluster"].split("|"), "", "", "", "")[:4]
        service = host.partition(".")[0] or self.entry["authority"]
        return f"{service} ({subset})" if subset else service


@dataclass(frozen=True)
class Journey:
    """A request's steps in the order of time."""

    request_id: str
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        rows = [("ms", "proxy", "passes to", "request", "status", "took")]
        began = self.steps[0].at
        for step in self.steps:
            after, entry = round((step.at - began).total_seconds() * 1000), step.entry
            asked = f"{entry['method']} {entry['path']}"
            rows.append(
                (f"+{after}", step.proxy, step.target, asked, f"{entry.code} {entry['flags']}".removesuffix(" -"), entry["duration"])
            )
        wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(word.ljust(width) for word, width in zip(row, wide, strict=True)).rstrip() for row in rows]
        return "\n".join([f"x-request-id {self.request_id}, the same in {len(self.steps)} lines of {self._proxies()} proxies:", *lines])

    def _proxies(self) -> int:
        return len({step.proxy for step in self.steps})


def follow(path: str = "/productpage", *, user: str = "") -> Journey:
    """Send one GET through the ingress gateway and find its traces in the access logs of the gateway and of this namespace's pods.

    Raises CourseError when the gateway's log does not show the request, which is so where access logs are switched off.
    """
    begun = session.current()
    token = f"meshcourse-{secrets.token_hex(6)}"
    headers = bookstore.sign_in(begun.connection.ingress_url, user)
    requests.request(path, headers={**headers, "user-agent": token})
    pods = _pods(begun.connection, begun.namespace)
    ends, grew, steps, identity = time.monotonic() + PATIENCE, time.monotonic(), tuple[Step, ...](), ""
    while not identity or time.monotonic() - grew < QUIET:
        entries = _entries(begun.connection, pods)
        first = next((step for step in entries if step.proxy == INGRESS and step.entry["user_agent"] == token), None)
        if first is not None:
            identity = first.entry["request_id"]
            found = tuple(
                sorted((step for step in entries if step.entry["request_id"] == identity), key=lambda step: (step.at, not step.outward))
            )
            if len(found) > len(steps):
                steps, grew = found, time.monotonic()
        if time.monotonic() > ends:
            break
        time.sleep(0.2)
    if not steps:
        raise errors.CourseError(
            "The request left no trace.",
            why=f"the ingress gateway's access log does not show it after {PATIENCE:g} s",
            next="kubectl -n istio-system logs deploy/istio-ingressgateway --tail=5",
        )
    return Journey(identity, steps)


def _pods(connection: Connection, namespace: str) -> list[tuple[str, str, str]]:
    """(what it is called, namespace, pod) of every proxy that may have seen the request."""

    def ready(where: str, selector: str = "") -> list[Any]:
        found = resources.read(partial(connection.core().list_namespaced_pod, label_selector=selector), where).items
        return [pod for pod in found if ready_pods.is_ready(pod) and sidecars.has_sidecar(pod)]

    own = [
        (proxy_counters.workload(pod.metadata.name, pod.metadata.labels or {}), namespace, pod.metadata.name) for pod in ready(namespace)
    ]
    gateways = ready(installation.NAMESPACE, f"app={installation.INGRESS}")
    return [*((INGRESS, installation.NAMESPACE, pod.metadata.name) for pod in gateways), *own]


def _entries(connection: Connection, pods: Iterable[tuple[str, str, str]]) -> list[Step]:
    def one(pod: tuple[str, str, str]) -> Iterator[Step]:
        proxy, namespace, name = pod
        text = resources.read(partial(connection.core().read_namespaced_pod_log, container="istio-proxy", tail_lines=200), name, namespace)
        return (Step(proxy, entry) for entry in access_logs.parse((text or "").splitlines()))

    with ThreadPoolExecutor(max_workers=4) as several:
        return [step for steps in several.map(one, pods) for step in steps]
