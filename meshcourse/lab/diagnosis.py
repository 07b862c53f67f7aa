"""lab.doctor: which cluster this course will use, and whether everything that it needs is there.

Nothing is started or changed.
"""

from __future__ import annotations

import html
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from meshcourse.backends import lookup, readiness
from meshcourse.backends.backend import Backend
from meshcourse.backends.embedded import Embedded
from meshcourse.cluster.prerequisites import Check
from meshcourse.core import errors, settings, tables
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.lab import session
from meshcourse.mesh import istiod
from meshcourse.mesh.install import installation


@dataclass(frozen=True)
class Diagnosis:
    """The backend that lessons will use, and the checks, one a line."""

    backend: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return all(check.ok for check in self.checks)

    @property
    def verdict(self) -> str:
        """The last line."""
        missing = [check.name for check in self.checks if not check.ok]
        return f"missing: {', '.join(missing)}" if missing else "nothing is missing"

    def lines(self) -> tuple[tuple[str, str, str], ...]:
        """(mark, name, found) of each check."""
        return tuple(("✔" if check.ok else "✘", check.name, _short(check.found)) for check in self.checks)

    def __repr__(self) -> str:
        checks = tables.columns([(f"{mark} {name}", found) for mark, name, found in self.lines()])
        return "\n".join([f"backend: {self.backend}", *checks, self.verdict, *self._cures()])

    def _cures(self) -> list[str]:
        return [
            line
            for each in self.checks
            if not each.ok
            for line in (f"{each.name}: {each.found}", f"  Why: {each.why}", f"  Next: {each.fix}")
        ]

    def _repr_html_(self) -> str:
        cures = "".join(f"<div>{html.escape(line)}</div>" for line in self._cures())
        return (
            f"<div>backend: <b>{html.escape(self.backend)}</b></div>{tables.markup((), self.lines())}"
            f"<div><b>{html.escape(self.verdict)}</b></div>{cures}"
        )


def doctor() -> Diagnosis:
    """Check what the lessons will run on: the cluster that the environment names, or else this machine for the embedded one."""
    url, kubeconfig = os.environ.get(settings.URL_VARIABLE), os.environ.get("KUBECONFIG")
    if url and kubeconfig:
        return Diagnosis(f"existing, the cluster that KUBECONFIG names ({_short(kubeconfig)})", existing(Path(kubeconfig), url))
    name = os.environ.get(settings.CLUSTER_VARIABLE, settings.DEFAULT_CLUSTER)
    backend = lookup.find(name)
    kind, where = type(backend).__name__.lower(), " on this machine" if type(backend) is Embedded else ""
    return Diagnosis(f"{kind}, a cluster called {name}{where}", (*readiness.of(kind), *_cluster(backend)))


def _cluster(backend: Backend) -> tuple[Check, ...]:
    """Whether the cluster runs and answers, and whether its Envoys accept what istiod sends."""
    name = f"cluster {backend.name}"
    if not lookup.runs(backend.name):
        if session.begun():
            again = f"meshcourse up --name {backend.name}    # then run the chapter's first cell again"
            return (Check(name, ok=False, found="does not run", why="this notebook works on it, and its pods went with it", fix=again),)
        return (Check(name, ok=True, found="does not run yet; lab.chapter starts it", why="", fix=""),)
    try:
        connection = Connection(backend.kubeconfig(), backend.ingress_url(), backend.environment())
        nodes, off = len(resources.read(connection.core().list_node).items), backend.status().stopped
    except errors.MeshcourseError as error:
        return (Check(name, ok=False, found="does not answer", why=error.why or error.what, fix=error.next),)
    return (
        Check(name, ok=True, found=f"answers, {nodes} node{'' if nodes == 1 else 's'}{_switched_off(off)}", why="", fix=""),
        *_envoys(connection),
    )


def _switched_off(nodes: tuple[str, ...]) -> str:
    return f"; switched off: {', '.join(nodes)} (meshcourse node start ...)" if nodes else ""


def _envoys(connection: Connection) -> tuple[Check, ...]:
    """Whether each Envoy accepts the configuration that istiod sends; nothing where Istio is not installed."""
    try:
        if installation.status(connection) is None:
            return ()
        rejecting = istiod.rejecting(connection)
    except errors.MeshcourseError as error:
        return (Check("istiod", ok=False, found=error.what, why=error.why, fix=error.next),)
    if not rejecting:
        return (Check("Envoys", ok=True, found="accept what istiod sends", why="", fix=""),)
    why = "an Envoy that rejects its configuration keeps the former one, and a new Envoy does not become ready"
    fix = "istioctl proxy-status    # then correct or delete what the message names: an EnvoyFilter, a Telemetry, a WasmPlugin"
    return (Check("Envoys", ok=False, found="; ".join(rejecting), why=why, fix=fix),)


def existing(kubeconfig: Path, url: str) -> tuple[Check, ...]:
    """What an existing cluster must have: the two programs, and an API server that answers."""
    programs = {name: shutil.which(name) for name in ("kubectl", "istioctl")}
    found = [
        Check(name, ok=path is not None, found=path or "not on PATH", why="every chapter uses it", fix=f"put {name} on PATH")
        for name, path in programs.items()
    ]
    try:
        nodes = resources.read(Connection(kubeconfig, url).core().list_node)
    except errors.MeshcourseError as error:
        return (*found, Check("cluster", ok=False, found="does not answer", why=error.why or error.what, fix=error.next))
    count = len(nodes.items) if nodes else 0
    answers = Check("cluster", ok=True, found=f"answers, {count} node{'' if count == 1 else 's'}; ingress at {url}", why="", fix="")
    return (*found, answers, *_envoys(Connection(kubeconfig, url)))


def _short(text: str) -> str:
    """A path with the learner's home as ~: shorter, and without their name in a notebook that they pass on."""
    return text.replace(str(Path.home()), "~")
