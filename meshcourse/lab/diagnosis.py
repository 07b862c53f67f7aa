"""lab.doctor: which cluster this course will use, and whether all that it needs is there.

Nothing is started or changed.
"""

from __future__ import annotations

import html
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from meshcourse.backends import readiness
from meshcourse.cluster.prerequisites import Check
from meshcourse.core import errors, settings
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection


@dataclass(frozen=True)
class Diagnosis:
    """What was found: the backend that lessons will use, and one check a line."""

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
        return f"missing: {', '.join(missing)}" if missing else "everything is there"

    def lines(self) -> tuple[tuple[str, str, str], ...]:
        """(mark, name, found) of each check."""
        return tuple(("✔" if check.ok else "✘", check.name, _short(check.found)) for check in self.checks)

    def __repr__(self) -> str:
        wide = max(len(check.name) for check in self.checks)
        text = [f"backend: {self.backend}", *(f"{mark} {name:<{wide}}  {found}" for mark, name, found in self.lines()), self.verdict]
        return "\n".join([*text, *self._cures()])

    def _cures(self) -> list[str]:
        return [
            line
            for each in self.checks
            if not each.ok
            for line in (f"{each.name}: {each.found}", f"  Why: {each.why}", f"  Next: {each.fix}")
        ]

    def _repr_html_(self) -> str:
        cell = '<td style="text-align:left">'
        rows = "".join(f"<tr>{''.join(f'{cell}{html.escape(text)}</td>' for text in line)}</tr>" for line in self.lines())
        cures = "".join(f"<div>{html.escape(line)}</div>" for line in self._cures())
        return (
            f"<div>backend: <b>{html.escape(self.backend)}</b></div><table><tbody>{rows}</tbody></table>"
            f"<div><b>{html.escape(self.verdict)}</b></div>{cures}"
        )


def doctor() -> Diagnosis:
    """Look at what the lessons will run on: the cluster that the environment names, else this machine as a home for the embedded one."""
    url, kubeconfig = os.environ.get("MESHCOURSE_INGRESS_URL"), os.environ.get("KUBECONFIG")
    if url and kubeconfig:
        return Diagnosis(f"existing, the cluster that KUBECONFIG names ({_short(kubeconfig)})", existing(Path(kubeconfig), url))
    name = os.environ.get("MESHCOURSE_CLUSTER", settings.DEFAULT_CLUSTER)
    return Diagnosis(f"embedded, a cluster called {name} on this machine", readiness.checks())


def existing(kubeconfig: Path, url: str) -> tuple[Check, ...]:
    """What a cluster of somebody else's must offer: the two programs, and an API server that answers."""
    programs = {name: shutil.which(name) for name in ("kubectl", "istioctl")}
    found = [
        Check(name, ok=path is not None, found=path or "not on PATH", why="every chapter types it", fix=f"put {name} on PATH")
        for name, path in programs.items()
    ]
    try:
        nodes = resources.read(Connection(kubeconfig, url).core().list_node)
    except errors.MeshcourseError as error:
        return (*found, Check("cluster", ok=False, found="does not answer", why=error.why or error.what, fix=error.next))
    count = len(nodes.items) if nodes else 0
    return (*found, Check("cluster", ok=True, found=f"answers, {count} node{'' if count == 1 else 's'}; ingress at {url}", why="", fix=""))


def _short(text: str) -> str:
    """The learner's home written as ~: shorter, and no name of theirs in a notebook that they pass on."""
    return text.replace(str(Path.home()), "~")
