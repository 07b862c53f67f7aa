"""Every error that a learner can see, in one tree.

MeshcourseError            what happened, why, what to type next
├── MissingPrerequisite    this machine lacks something (`meshcourse doctor` says the same)
├── EngineError            the upstream programs cannot be built, found or packed
├── ClusterError           a cluster does not start, does not exist, or belongs to another version
├── KubernetesError        the API server refused; keeps its Status
├── MeshError              istioctl, a profile or a proxy failed or refused
├── TrafficError           load cannot be sent, saved or replayed
├── PanelError             a widget was asked for something it cannot show
└── CourseError            a notebook source, an exercise or its check is wrong
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MeshcourseError(Exception):
    """A failure in three parts: `what` happened, `why`, and what to type `next`."""

    def __init__(self, what: str, *, why: str = "", next: str = "") -> None:  # noqa: A002 - the word the reader sees
        super().__init__(what)
        self.what = what
        self.why = why
        self.next = next

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"Why: {self.why}")
        if self.next:
            parts.append(f"Next: {self.next}")
        return "\n".join(parts)

    def _render_traceback_(self) -> list[str]:
        """Show three lines in a notebook; IPython's documented hook for exceptions that render themselves."""
        return [f"{type(self).__name__}: {self}", "(%tb shows the full traceback)"]


class MissingPrerequisite(MeshcourseError):  # noqa: N818 - it reads as a sentence
    """This machine lacks something; `next` is the exact command that installs it."""


class EngineError(MeshcourseError):
    """The upstream programs cannot be built, found or packed."""


class ClusterError(MeshcourseError):
    """A cluster does not start, does not exist, or belongs to another version of the package."""


class KubernetesError(MeshcourseError):
    """The API server refused. `status` is its Status object, `code` the HTTP code (0 when it never answered)."""

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        next: str = "",  # noqa: A002 - the word the reader sees
        status: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what, why=why, next=next)
        self.status: Mapping[str, Any] = status or {}

    @property
    def code(self) -> int:
        """The HTTP code of the refusal."""
        return int(self.status.get("code", 0))


class MeshError(MeshcourseError):
    """istioctl, a profile or a proxy failed or refused."""


class TrafficError(MeshcourseError):
    """Load cannot be sent, saved or replayed."""


class PanelError(MeshcourseError):
    """A widget was asked for something it cannot show."""


class CourseError(MeshcourseError):
    """A notebook source, an exercise or its check is wrong."""
