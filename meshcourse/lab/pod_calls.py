"""lab.call: calls from inside the mesh; lab.certificate: a pod's identity in the mesh."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshcourse.kube import commands, resources
from meshcourse.lab import session
from meshcourse.mesh.envoy import certificates
from meshcourse.mesh.envoy.certificates import Identity

PATIENCE: Final = 15.0
_MARK: Final = "\n<<status "
"""Marks the status in curl's output; no page ends with this."""


@dataclass(frozen=True)
class Call:
    """One call. `status` is 0 when no HTTP answer came; `complaint` is then curl's error message."""

    command: str
    status: int
    body: str
    complaint: str
    seconds: float
    tries: int
    wanted: int | None
    lines: int

    def __repr__(self) -> str:
        first = f"HTTP {self.status}" if self.status else self.complaint or "no answer"
        if self.wanted is not None:
            arrived = f"after {self.seconds:.1f} s and {self.tries} {'call' if self.tries == 1 else 'calls'}"
            late = f"   ! still not {self.wanted or 'refused'} {arrived}" if self.status != self.wanted else f"   ({arrived})"
            first += late if self.tries > 1 else ""
        body = self.body.strip().splitlines()
        more = [f"  ... {len(body) - self.lines} more lines"] if len(body) > self.lines else []
        return "\n".join([f"$ {self.command}", first, *body[: self.lines], *more])


def call(workload: str, url: str, *, method: str = "GET", namespace: str = "", until: int | None = None, lines: int = 3) -> Call:
    """Have Deployment `workload` call `url` by curl, and show the answer's status and the first `lines` of its body.

    With `until` the call is repeated until that status comes (0: no answer at all), for 15 seconds at most. Raises KubernetesError when
    there is no such Deployment.
    """
    where, wanted = ["-n", namespace] if namespace else [], ["-X", method] if method != "GET" else []
    words = ["kubectl", *where, "exec", f"deploy/{workload}", "--", "curl", "-sS", "-m", "5", *wanted, url]
    sent = [*words[:-1], "-w", f"{_MARK}%{{http_code}}", url]
    started, tries = time.monotonic(), 0
    while True:
        tries += 1
        status, body, complaint = _once(sent, workload, namespace)
        seconds = time.monotonic() - started
        if until is None or status == until or seconds > PATIENCE:
            break
        time.sleep(0.2)
    return Call(shlex.join(words), status, body, complaint, seconds, tries, until, lines)


def _once(words: Sequence[str], workload: str, namespace: str) -> tuple[int, str, str]:
    """(status, body, curl's error message)."""
    begun = session.current()
    done = commands.run(begun.connection, words, timeout=30.0)
    body, mark, status = done.stdout.rpartition(_MARK)
    if not mark:
        where = namespace or begun.namespace
        if resources.read(begun.connection.apps().read_namespaced_deployment, workload, where) is None:
            raise resources.absent(begun.connection, where, "Deployment", workload)
        raise resources.refusal(done, "the call")
    complaint = next((line for line in done.stderr.splitlines() if line.startswith("curl:")), "")
    return int(status), body, complaint


@dataclass(frozen=True)
class Certificate:
    """An Identity, as a cell shows it."""

    command: str
    identity: Identity

    def __repr__(self) -> str:
        found = self.identity
        hours = (found.ends - found.begins).total_seconds() / 3600
        rows = [
            ("who", ", ".join(found.names)),
            ("subject", found.subject or "(empty)"),
            ("signed by", found.issuer),
            ("valid", f"{found.begins:%d %b %H:%M} to {found.ends:%d %b %H:%M} UTC, {hours:.0f} hours"),
            ("serial", found.serial),
            ("SHA-256", found.fingerprint),
        ]
        return "\n".join([f"$ {self.command}", *(f"  {name:<10}{text}" for name, text in rows)])


def certificate(workload: str) -> Certificate:
    """The certificate of a Deployment's sidecar, read from its running Envoy. Raises MeshError when it cannot be read."""
    begun = session.current()
    name = f"deployment/{workload}"
    pipe = " -o json    # its certificateChain, decoded"
    return Certificate(
        shlex.join(certificates.command(begun.namespace, name)) + pipe, certificates.read(begun.connection, begun.namespace, name)
    )
