"""Envoy's own counters and gauges, read from a running proxy by the command that a learner types.

It runs `pilot-agent request GET stats` in the proxy's container. Istio decides which stats a sidecar keeps; the pod's annotation
`sidecar.istio.io/statsInclusionPrefixes` (or proxyStatsMatcher in `proxy.istio.io/config`) adds others.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import sidecars


def command(namespace: str, workload: str, *, path: str = "stats") -> list[str]:
    """The kubectl command, as a person would type it."""
    return ["kubectl", "-n", namespace, "exec", workload, "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", path]


def read(connection: Connection, namespace: str, workload: str, *, containing: str | Iterable[str] = "") -> dict[str, int]:
    """The counters and gauges of a workload's proxy ("deploy/fortio-deploy") whose names contain every text of `containing`.

    Raises KubernetesError when there is no such workload or proxy.
    """
    sidecars.proxied(connection, namespace, workload)
    done = commands.run(connection, command(namespace, workload), timeout=30.0)
    if done.code:
        raise resources.refusal(done, f"the request for the statistics of {workload}")
    wanted = (containing,) if isinstance(containing, str) else tuple(containing)
    return {name: value for name, value in parse(done.stdout.splitlines()).items() if all(part in name for part in wanted)}


def parse(lines: Iterable[str]) -> dict[str, int]:
    """`name: value` lines; histograms and texts are left out."""
    found = {}
    for line in lines:
        name, colon, value = line.rpartition(": ")
        if colon and value.strip().isdigit():
            found[name] = int(value)
    return found
