"""Applies answers for lab.apply, and remembers them for lab.check.

Several objects in one manifest are applied all or not at all: the API server first checks each by a dry run.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, Final

import IPython.core.getipython

from meshcourse.checks import submissions
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.submissions import Submission, Submissions
from meshcourse.core import errors
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh import refusals

MADE: Final = Submissions()
"""The answers of this kernel."""
_CHANGES: Final = re.compile(
    r"\b(?:kubectl\b.*?\b(?:apply|create|replace|patch|edit|delete|label|annotate|scale|set)|istioctl\b.*?\b(?:install|uninstall))\b"
)
_HOOKED: Final = "_meshcourse_submissions"


def apply(connection: Connection, manifest: str | Path, *, namespace: str, into: Submissions = MADE) -> tuple[str, ...]:
    """Apply YAML text or a file, whole or not at all; returns kubectl's lines.

    Raises MeshError for invalid YAML and KubernetesError when an object is refused, with the correction in `next` where it is known.
    """
    text = manifest.read_text(encoding="utf-8") if isinstance(manifest, Path) else manifest
    named, now = submissions.objects(text), dt.datetime.now()  # noqa: DTZ005 - the clock on the learner's wall
    try:
        resources.rehearse(connection, manifest, namespace=namespace)
        lines = resources.apply(connection, manifest, namespace=namespace)
    except errors.MeshcourseError as error:
        explained = refusals.explained(error, text)
        into.note(Submission(now, named, refused=" ".join(f"{explained.what} {explained.why}".split()), hint=explained.next))
        raise explained from error
    if lines:
        into.note(Submission(now, named))
    return lines


def judged_at(exercise: Exercise, view: ClusterView, made: Submissions = MADE) -> dt.datetime | None:
    """When the answer in the cluster was applied: by this kernel's record, otherwise by the object's own timestamps."""
    known = made.accepted(exercise)
    if known is not None:
        return known.at
    for each in exercise.objects:
        found = view.object(*each.split("/", 1)) or {}
        managers = found.get("metadata", {}).get("managedFields") or ()
        newest = max((str(one.get("time", "")) for one in managers if one.get("operation") == "Apply"), default="")
        if newest:
            return dt.datetime.fromisoformat(newest).astimezone().replace(tzinfo=None)
    return None


def watch_cells() -> None:
    """From now on a cell of shell commands that changes the cluster and fails counts as a refused answer. Safe to call again."""
    shell = IPython.core.getipython.get_ipython()
    if shell is None or getattr(shell, _HOOKED, False):
        return
    setattr(shell, _HOOKED, True)
    shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: Any) -> None:  # noqa: ANN401 - IPython's ExecutionResult
    text = str(getattr(getattr(result, "info", None), "raw_cell", "") or "")
    failed = isinstance(getattr(result, "error_in_exec", None), (CalledProcessError, errors.CourseError))
    if not _CHANGES.search(text):
        return
    named, now = submissions.objects(text), dt.datetime.now()  # noqa: DTZ005 - the clock on the learner's wall
    if failed:
        why, hint = (
            "the cell failed; its message is below it",
            "correct what the message below the cell names, and run the cell again",
        )
        MADE.note(Submission(now, named, "cell of commands", why, hint))
    elif named:
        MADE.note(Submission(now, named, "cell of commands"))
