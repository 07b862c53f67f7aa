"""The parameter of a notebook that a machine executes: which backend it runs on. A learner's notebook has no parameters."""

from __future__ import annotations

import os
from typing import Final

from meshcourse.core import errors

NAMES: Final = ("backend",)
_EXISTING: Final = ("KUBECONFIG", "MESHCOURSE_INGRESS_URL")


def parametrise(*, backend: str = "") -> None:
    """Choose the backend that this kernel uses; an empty `backend` leaves the environment as it is.

    Raises CourseError for an unknown backend, and for `existing` when no cluster is named.
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
    elif backend:
        raise errors.CourseError(f"There is no backend {backend!r}.", why="there are embedded and existing", next="-p backend=embedded")
