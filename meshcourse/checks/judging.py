"""Judging one exercise: the parts that all exercises share, before and after an exercise's own check.

Before it: do the pods that the exercise needs exist? After it: were the chapter's own programs changed? Then the exercise's number is set
on the Outcome. An error of the cluster becomes *cannot tell*, never a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from meshcourse.checks import diagnosis, outcome, untouched
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome, Verdict
from meshcourse.checks.untouched import Given
from meshcourse.core import errors


def judge(exercise: Exercise, view: ClusterView, given: Iterable[Given] = ()) -> Outcome:
    """Run the check; `given` are the chapter's manifests. Blocking, for as long as it takes; raises no exception of meshcourse."""
    own = tuple(given)
    try:
        found = _begun_without_pods(exercise, view) or exercise.check(view)
        if found.verdict is not Verdict.NOT_ATTEMPTED:
            found = untouched.found(view, exercise, own) or found
    except errors.MeshcourseError as error:
        found = _changed(exercise, view, own) or outcome.cannot_tell(f"{error.what} {error.why}".strip(), error.next or "meshcourse status")
    return replace(found, exercise=exercise.number)


def _changed(exercise: Exercise, view: ClusterView, given: tuple[Given, ...]) -> Outcome | None:
    """What the learner changed that may have caused an error; None when that cannot be read either."""
    try:
        return untouched.found(view, exercise, given)
    except errors.MeshcourseError:
        return None


def _begun_without_pods(exercise: Exercise, view: ClusterView) -> Outcome | None:
    """Why a started exercise cannot be judged: a Deployment without a ready pod. None when there is no such reason."""
    away = diagnosis.away(view, exercise.needs) if exercise.needs else None
    if away is None or not exercise.objects:
        return away
    begun = any(view.object(*each.split("/", 1)) for each in exercise.objects)
    return away if begun else None
