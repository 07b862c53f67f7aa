"""The parameters of a run by machine: which backend, how many seconds of load, which seed.

A learner's notebook says nothing of it and gets the course's own figures.
"""

from __future__ import annotations

import os
from typing import Final

from meshcourse.backends import records
from meshcourse.core import errors, settings

SECONDS: Final = "MESHCOURSE_SECONDS"
SEED: Final = "MESHCOURSE_SEED"
NAMES: Final = ("backend", "seconds", "seed")
_EXISTING: Final = ("KUBECONFIG", "MESHCOURSE_INGRESS_URL")


def parametrise(*, backend: str = "", seconds: float = 0.0, seed: int = 0) -> None:
    """Set what a machine's run asks for; an empty `backend` and 0 seconds leave things as they are.

    `kind` means the cluster that MESHCOURSE_CLUSTER names, which must be one. Raises CourseError when it is not, for an unknown backend,
    for `existing` when no cluster is named, and for a length of time below zero.
    """
    if seconds < 0:
        raise errors.CourseError(f"Load cannot run for {seconds:g} seconds.", next="-p seconds=4")
    if backend == "embedded":
        os.environ.pop("MESHCOURSE_INGRESS_URL", None)
    elif backend == "existing":
        missing = [name for name in _EXISTING if not os.environ.get(name)]
        if missing:
            raise errors.CourseError(
                "No existing cluster is named.",
                why=f"{' and '.join(missing)} must be set",
                next="export KUBECONFIG=... MESHCOURSE_INGRESS_URL=http://...",
            )
    elif backend == "kind":
        os.environ.pop("MESHCOURSE_INGRESS_URL", None)
        _check_kind(os.environ.get("MESHCOURSE_CLUSTER", settings.DEFAULT_CLUSTER))
    elif backend:
        raise errors.CourseError(
            f"There is no backend {backend!r}.", why="there are embedded, kind and existing", next="-p backend embedded"
        )
    if seconds:
        os.environ[SECONDS] = f"{seconds:g}"
    if seed:
        os.environ[SEED] = str(seed)


def _check_kind(name: str) -> None:
    record = records.find(name)
    if record is None or record.backend != records.KIND:
        raise errors.CourseError(
            f"There is no kind cluster called {name}.",
            why="a notebook starts no kind cluster" if record is None else f"{name} is a cluster of the backend {record.backend}",
            next=f"meshcourse up --name {name} --backend kind    # or export MESHCOURSE_CLUSTER=..., which names another one",
        )


def seconds(usual: float) -> float:
    """How long load shall run: what the run asks for, else `usual`."""
    return float(os.environ.get(SECONDS) or usual)


def seed() -> int:
    """The seed of the load's arrival times; 0 without one."""
    return int(os.environ.get(SEED) or 0)
