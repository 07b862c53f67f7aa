"""The chapter that this kernel works on: its cluster, its namespace, and the environment of its shell cells.

A kernel has one session; it is in this module, because a learner's cells call plain functions.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from meshcourse.backends import existing
from meshcourse.core import errors, files, paths
from meshcourse.course.chapters import Chapter
from meshcourse.kube.connection import Connection
from meshcourse.lab import terminal
from meshcourse.mesh.envoy import config_dump


@dataclass(frozen=True)
class Session:
    """One chapter on one cluster."""

    chapter: Chapter
    connection: Connection

    @property
    def namespace(self) -> str:
        """The chapter's namespace."""
        return self.chapter.namespace


_current: Session | None = None


def current() -> Session:
    """The session of this kernel. Raises CourseError when the first cell has not run."""
    if _current is None:
        raise errors.CourseError(
            "No chapter has been started in this kernel.",
            why="the notebook's first cell makes the cluster ready; after a restart of the kernel it must run again",
            next='run the first cell: lab.chapter("05-canary")',
        )
    return _current


def begun() -> bool:
    """Whether this kernel has one."""
    return _current is not None


def begin(chapter: Chapter, connection: Connection) -> Session:
    """Make `chapter` this kernel's, and let `!kubectl` and `%%bash` cells use its cluster and namespace.

    JupyterLab's terminals follow.
    """
    global _current  # noqa: PLW0603 - the one session of the kernel
    variables = environment(chapter, connection)
    _current = Session(chapter, Connection(Path(variables["KUBECONFIG"]), connection.ingress_url, variables))
    os.environ.update(variables)
    terminal.follow(variables)
    return _current


def environment(chapter: Chapter, connection: Connection) -> dict[str, str]:
    """The environment variables for a shell that works on `chapter` of that cluster.

    Commands can use $NAMESPACE, and $INGRESS_PORT, the port on which the gateway's Envoy listens for the chapter.
    """
    return {
        **connection.environment,
        "KUBECONFIG": str(in_namespace(connection.kubeconfig, chapter)),
        "INGRESS_URL": connection.ingress_url,
        "INGRESS_PORT": config_dump.tables(connection.gateway_port)[0].removeprefix(config_dump.TABLE),
        "NAMESPACE": chapter.namespace,
    }


def in_namespace(kubeconfig: Path, chapter: Chapter) -> Path:
    """A copy of `kubeconfig` whose current context has the chapter's namespace, so that commands need no `-n`.

    The original is not changed: it may be the learner's own, and another chapter may be open beside this one.
    """
    content = existing.extract(str(kubeconfig), "")
    content["contexts"][0]["context"]["namespace"] = chapter.namespace
    copy = paths.state() / "lab" / _slug(kubeconfig) / f"{chapter.key}.kubeconfig"
    copy.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1) + "\n"
    if not copy.exists() or copy.read_text(encoding="utf-8") != text:
        files.replace(copy, text)
    return copy


def _slug(kubeconfig: Path) -> str:
    return "-".join(kubeconfig.resolve().parts[1:])[-120:]
