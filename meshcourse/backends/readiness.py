"""Whether this machine can run a backend: what it has, what it lacks, and the command that fixes each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from meshcourse.backends import containers
from meshcourse.backends import programs as programs_found
from meshcourse.cluster import prerequisites
from meshcourse.cluster.prerequisites import Check
from meshcourse.core.errors import MeshcourseError
from meshcourse.engine import binaries, toolchain

_PACKAGED: Final = {"Envoy": binaries.envoy, "kubectl": binaries.kubectl, "nginx": binaries.nginx, "bubblewrap": binaries.bubblewrap}


def checks() -> tuple[Check, ...]:
    """Every check, in the order in which to fix what is missing."""
    return (*machine(), *programs())


def of(backend: str) -> tuple[Check, ...]:
    """The lines for one backend. `kind` and `existing` need kubectl; istioctl comes with the engine or is fetched by version."""
    if backend == "embedded":
        return checks()
    kubectl = _looked_for("kubectl", programs_found.kubectl)
    if backend == "kind":
        return (*containers.checks(), kubectl)
    return (kubectl, _looked_for("istioctl", programs_found.istioctl))


def machine() -> tuple[Check, ...]:
    """What the operating system must provide. Nothing is changed."""
    return prerequisites.check()


def programs() -> tuple[Check, ...]:
    """Programs from Python packages, and the engine or the Go that can build it."""
    return (*(_looked_for(name, find) for name, find in _PACKAGED.items()), _engine())


def _looked_for(name: str, find: Callable[[], Path]) -> Check:
    try:
        return Check(name, ok=True, found=str(find()), why="", fix="")
    except MeshcourseError as error:
        return Check(name, ok=False, found="not installed", why=error.why, fix=error.next)


def _engine() -> Check:
    if not binaries.missing():
        return Check("engine", ok=True, found=f"built: {binaries.home()}", why="", fix="")
    try:
        go = toolchain.find()
    except MeshcourseError as error:
        return Check("engine", ok=False, found="not built, and this machine cannot build it", why=error.why, fix=error.next)
    return Check("engine", ok=True, found=f"not built yet; `meshcourse up` builds it with {go}", why="", fix="")
