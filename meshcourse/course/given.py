"""The manifests that a chapter gives its learner, for checks that compare the cluster with them."""

from __future__ import annotations

import functools

from meshcourse.checks.untouched import Given
from meshcourse.course import chapters
from meshcourse.kube import manifests


@functools.cache
def of(exercise: str) -> tuple[Given, ...]:
    """The manifests of the chapter of exercise "5.1", without those that are not valid on purpose."""
    chapter = chapters.find(exercise.partition(".")[0])
    files = sorted((chapters.folder() / "manifests" / chapter.stem).glob("*.yaml"))
    return tuple(Given(f"manifests/{chapter.stem}/{file.name}", manifests.load(file)) for file in files)
