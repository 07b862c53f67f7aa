"""Judging one exercise: what all exercises share, before and after an exercise's own check.

Before it: are the pods there that the exercise needs? After it: the exercise's number goes on the Outcome. An error of the cluster's
becomes *cannot tell*, never a traceback.
"""

from __future__ import annotations

from dataclasses import replace

from meshcourse.checks import diagnosis, outcome
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core import errors


def judge(exercise: Exercise, view: ClusterView) -> Outcome:
    """Run the check. Blocking, for as long as it takes; raises nothing of meshcourse's."""
    try:
        found = _begun_without_pods(exercise, view) or exercise.check(view)
    except errors.MeshcourseError as error:
        found = outcome.cannot_tell(f"{error.what} {error.why}".strip(), error.next or "meshcourse status")
    return replace(found, exercise=exercise.number)


def _begun_without_pods(exercise: Exercise, view: ClusterView) -> Outcome | None:
    """What keeps an exercise that was begun from being judged: a Deployment without a ready pod. None when all is there."""
    away = diagnosis.away(view, exercise.needs) if exercise.needs else None
    if away is None or not exercise.objects:
        return away
    begun = any(view.object(*each.split("/", 1)) for each in exercise.objects)
    return away if begun else None
