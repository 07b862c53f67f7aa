"""lab.follow: the path of one request through the mesh, from the access logs of all proxies that it passed.

The header x-request-id joins the lines: the first Envoy sets it, every Envoy logs it, and the applications must forward it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from meshcourse.core import errors, tables
from meshcourse.lab import requests, session
from meshcourse.measure import request_hops
from meshcourse.measure.request_hops import Hop
from meshcourse.mesh.install import installation
from meshcourse.traffic import bookstore

PATIENCE: Final = 15.0


@dataclass(frozen=True)
class Journey:
    """A request's hops in the order of time."""

    hops: tuple[Hop, ...]

    def __repr__(self) -> str:
        rows = [("ms", "proxy", "passes to", "request", "status", "took")]
        for hop in self.hops:
            after, entry = round((hop.began - self.hops[0].began).total_seconds() * 1000), hop.entry
            asked = f"{entry['method']} {entry['path']}"
            status = f"{entry.code} {entry['flags']}".removesuffix(" -")
            rows.append((f"+{after}", _proxy(hop), _target(hop), asked, status, entry["duration"]))
        proxies, identity = len({hop.pod for hop in self.hops}), self.hops[0].entry["request_id"]
        where = f"the same in {len(self.hops)} lines of {proxies} proxies" if len(self.hops) > 1 else "in one line only"
        return "\n".join([f"x-request-id {identity}, {where}:", *tables.columns(rows)])


def _proxy(hop: Hop) -> str:
    return "ingress gateway" if hop.workload == installation.INGRESS else hop.workload


def _target(hop: Hop) -> str:
    """Where the proxy sent it."""
    if hop.inward:
        return "its own application"
    service = hop.cluster.service or hop.entry["authority"]
    named = f"{service} ({hop.cluster.subset})" if hop.cluster.subset else service
    return named if hop.entry["upstream_host"] != "-" else f"nobody ({hop.entry['code_details']})"


def follow(path: str = "/productpage", *, user: str = "") -> Journey:
    """Send one GET through the ingress gateway and find its hops in the access logs of the gateway and of this namespace's pods.

    Raises CourseError when the gateway's log does not have the request, for example when access logs are off.
    """
    begun = session.current()
    mark = f"meshcourse-{secrets.token_hex(6)}"
    headers = bookstore.sign_in(begun.connection.ingress_url, user)
    requests.request(path, headers={**headers, "user-agent": mark})
    found = request_hops.find(begun.connection, begun.namespace, mark, within=PATIENCE)
    if not found:
        raise errors.CourseError(
            "The request left no line in a log.",
            why=f"no line of the ingress gateway came within {PATIENCE:g} s: no Gateway opens its port, or its access log is off",
            next=f"kubectl -n {installation.NAMESPACE} logs deploy/{installation.INGRESS} --tail=5",
        )
    return Journey(found)
