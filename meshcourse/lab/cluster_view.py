"""The ClusterView of a running cluster: reads for checks, and the requests that they send."""

from __future__ import annotations

import json
from collections.abc import Mapping

from meshcourse.core.json_types import Json
from meshcourse.kube import api_versions, commands, resources
from meshcourse.kube.commands import Completed
from meshcourse.kube.connection import Connection
from meshcourse.lab import answers, requests
from meshcourse.measure import access_logs, proxy_stats
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.tally import Tally
from meshcourse.mesh import propagation
from meshcourse.mesh.propagation import Arrival
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target

_LOG_LINES = 3000
"""How far back a check reads a log: another check, or a panel, may send a thousand requests while it waits for its own line."""


class LiveClusterView:
    """A ClusterView of a running cluster; every method raises MeshcourseError when the cluster does not answer."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection = connection
        self.namespace = namespace

    def object(self, kind: str, name: str, *, namespace: str = "") -> Json | None:
        """One object, or None."""
        text = self._get(kind, name, "--ignore-not-found", namespace=namespace)
        return json.loads(text) if text.strip() else None

    def objects(self, kind: str, *, selector: str = "", namespace: str = "") -> list[Json]:
        """All objects of a kind, or of several with commas between, that have the labels of `selector`; `*` means every namespace."""
        return list(json.loads(self._get(kind, *(("-l", selector) if selector else ()), namespace=namespace))["items"])

    def _get(self, *arguments: str, namespace: str) -> str:
        where = ["-A"] if namespace == "*" else ["-n", namespace or self.namespace]
        done = commands.run(self.connection, ["kubectl", "get", *where, *arguments, "-o", "json"], timeout=30.0)
        if done.code:
            raise resources.refusal(done, f"the request for {arguments[0]}")
        return done.stdout

    def virtual_service(self, name: str) -> Json | None:
        """The VirtualService, or None."""
        call = self.connection.custom().get_namespaced_custom_object
        found: Json | None = resources.read(call, *api_versions.networking(self.connection), self.namespace, "virtualservices", name)
        return found

    def arrival(self) -> Arrival:
        """Wait until the proxies hold the namespace's objects."""
        return propagation.wait(self.connection, self.namespace, timeout=10.0)

    def ask(self, n: int, *, host: str, headers: Mapping[str, str] | None = None) -> Tally:
        """Send `n` requests now, and count by version."""
        return requests.counted(self.send(n, host=host, headers=headers))

    def send(
        self, n: int, *, host: str = "", path: str = "/", headers: Mapping[str, str] | None = None, at_once: int = requests.IN_FLIGHT
    ) -> tuple[Result, ...]:
        """Send `n` requests now, `at_once` at a time."""
        target = Target(self.connection.ingress_url + path, host=host, headers=dict(headers or {}))
        return requests.answers(n, target, at_once=at_once)

    def run(self, *arguments: str, timeout: float = 60.0) -> Completed:
        """Run kubectl or istioctl in the chapter's namespace."""
        return commands.run(self.connection, [arguments[0], "-n", self.namespace, *arguments[1:]], timeout=timeout)

    def stats(self, workload: str, *containing: str, namespace: str = "") -> dict[str, int]:
        """Counters and gauges of a workload's proxy."""
        return proxy_stats.read(self.connection, namespace or self.namespace, workload, containing=containing)

    def log(self, workload: str, *, containing: str = "", namespace: str = "") -> tuple[Entry, ...]:
        """Entries of a workload's access log."""
        return access_logs.read(self.connection, namespace or self.namespace, workload, containing=containing, last=_LOG_LINES)

    def answer(self, number: str) -> str:
        """What the learner passed to lab.answer in this kernel."""
        return answers.given(number)
