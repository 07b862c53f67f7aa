"""The parameter of an automatically executed notebook: its backend. A learner's notebook has no parameters."""

from __future__ import annotations

import os
from typing import Final

from meshcourse.backends import records
from meshcourse.core import errors, settings

NAMES: Final = ("backend",)
_EXISTING: Final = ("KUBECONFIG", "MESHCOURSE_INGRESS_URL")


def parametrise(*, backend: str = "") -> None:
    """Choose the backend that this kernel uses; an empty `backend` leaves the environment as it is.

    `kind` means the cluster that MESHCOURSE_CLUSTER names, which must be one. Raises CourseError when it is not, for an unknown backend,
    and for `existing` when no cluster is named.
    """
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


def _check_kind(name: str) -> None:
    record = records.find(name)
    if record is None or record.backend != records.KIND:
        raise errors.CourseError(
            f"There is no kind cluster called {name}.",
            why="a notebook starts no kind cluster" if record is None else f"{name} is a cluster of the backend {record.backend}",
            next=f"meshcourse up --name {name} --backend kind    # or export MESHCOURSE_CLUSTER=..., which names another one",
        )
