"""Envoy's access log in Istio's default format: each line is one request, parsed into named fields.

The order of the fields is Istio 1.31's default `accessLogFormat` (istio.io: Envoy Access Logs).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation

_TOKEN: Final = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|\[(?P<time>[^\]]*)\]|(?P<word>\S+)')
MEANING: Final = {
    "start_time": "when the request arrived",
    "method": "GET, POST, ...",
    "path": "the path of the request",
    "protocol": "HTTP/1.1 or HTTP/2",
    "code": "the HTTP status of the answer",
    "flags": "why Envoy itself failed or cut the request short (- : it did not)",
    "code_details": "what decided on the status: via_upstream is the application",
    "termination_details": "why the connection was closed, if Envoy closed it",
    "transport_failure": "the error of TLS or TCP towards the upstream",
    "bytes_received": "size of the request's body",
    "bytes_sent": "size of the answer's body",
    "duration": "milliseconds from the first byte in to the last byte out",
    "upstream_time": "milliseconds of it that the upstream took",
    "forwarded_for": "X-Forwarded-For: the client that the request was forwarded for",
    "user_agent": "the client's program",
    "request_id": "X-Request-ID, the same in every proxy that the request passed",
    "authority": "the Host header",
    "upstream_host": "the address of the upstream",
    "upstream_cluster": "Envoy's group of addresses: direction|port|subset|host",
    "upstream_local": "Envoy's own end of that connection",
    "downstream_local": "the address that the client connected to",
    "downstream_remote": "the client's address",
    "server_name": "SNI, the server name in the TLS handshake",
    "route": "the name of the route that matched",
}
"""The fields in the order of the line, each with its meaning."""


@dataclass(frozen=True)
class Entry:
    """One line. `fields` has a value for each key of MEANING; "-" where Envoy has none."""

    line: str
    fields: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields[name]

    @property
    def code(self) -> int:
        """The HTTP status; 0 when no answer was sent."""
        return int(self.fields["code"]) if self.fields["code"].isdigit() else 0

    @property
    def flags(self) -> tuple[str, ...]:
        """The response flags: ("UO",); empty when there are none."""
        return tuple(flag for flag in self.fields["flags"].split(",") if flag != "-")


def parse(lines: Iterable[str]) -> Iterator[Entry]:
    """The entries among `lines`; other lines (Envoy's own messages, for example) are left out."""
    for line in lines:
        if not line.startswith("["):
            continue
        values = [_value(token) for token in _TOKEN.finditer(line)]
        if len(values) < 3:  # noqa: PLR2004 - a time, a request and something after it
            continue
        method, _, rest = values[1].partition(" ")
        path, _, protocol = rest.rpartition(" ")
        values[1:2] = [method, path, protocol]
        if len(values) == len(MEANING):
            yield Entry(line, dict(zip(MEANING, values, strict=True)))


def _value(token: re.Match[str]) -> str:
    return next(part for part in (token["quoted"], token["time"], token["word"]) if part is not None)


def own(connection: Connection, namespace: str) -> str:
    """Text that every log line of this learner's requests contains: on a shared gateway the learner's own port; otherwise empty."""
    return f":{connection.gateway_port} " if connection.learner and namespace == installation.NAMESPACE else ""


def crowd(connection: Connection) -> int:
    """Factor for the number of lines to read, since other learners' lines are among them."""
    return 30 if connection.learner else 1


def read(
    connection: Connection, namespace: str, workload: str, *, containing: str = "", last: int = 500, since: int = 0
) -> tuple[Entry, ...]:
    """The access log entries in the `last` lines of a workload's proxy ("deploy/web", "pod/web-1"), those with `containing` only.

    Where several learners share the ingress gateway, its log is read further back, and others' lines are left out.

    With `since`, only those of the last so many seconds.

    Raises KubernetesError when there is no such workload. Envoy writes its log about once a second, so the newest may be missing.
    """
    sidecars.proxied(connection, namespace, workload)
    arguments = [
        "kubectl",
        "-n",
        namespace,
        "logs",
        workload,
        "-c",
        "istio-proxy",
        f"--tail={last * crowd(connection)}",
        *([f"--since={since}s"] if since else []),
    ]
    done = commands.run(connection, arguments, timeout=30.0)
    if done.code:
        raise resources.refusal(done, f"the request for the logs of {workload}")
    mark = own(connection, namespace)
    return tuple(entry for entry in parse(done.stdout.splitlines()) if containing in entry.line and mark in entry.line)
