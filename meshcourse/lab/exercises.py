"""lab.check, lab.hint, lab.solution.

Hints come in order, one per call; only this kernel knows how many were given.
"""

from __future__ import annotations

import contextlib

from meshcourse.checks import chapters as registry
from meshcourse.checks import exercises, judging
from meshcourse.checks import submissions as answered
from meshcourse.checks.display import Card
from meshcourse.checks.exercises import Exercise
from meshcourse.core import errors
from meshcourse.course import attempts, chapters, given, passed, solutions
from meshcourse.course.attempts import Attempt
from meshcourse.lab import panels, session, submissions, waiting
from meshcourse.lab.cluster_view import LiveClusterView
from meshcourse.lab.output import Sentence, say

_given: dict[str, int] = {}


def check(number: str | float = "") -> Card:
    """Judge the exercise by what the mesh does now. Raises CourseError for an unknown number.

    Where the newest answer was refused, an older one is in force; the card says so.
    """
    begun = session.current()
    exercise, view = _find(number, "check"), LiveClusterView(begun.connection, begun.namespace)
    with panels.resting() if exercise.counts else contextlib.nullcontext():
        found = waiting.shown(lambda: judging.judge(exercise, view, given.of(exercise.number)), f"checking {number}", exercise.watches)
    refused = submissions.MADE.pending(exercise, registry.EXERCISES)
    if refused is not None:
        found = answered.remarked(found, refused, submissions.judged_at(exercise, view))
    attempts.note(Attempt(exercise.number, attempts.now(), found.verdict.value, found.passed, _given.get(exercise.number, 0)))
    if found.passed:
        _note(exercise.number)
    return Card(found)


def _note(number: str) -> None:
    """Record the passed exercise. A full disk must not prevent the verdict."""
    try:
        complaint = passed.note_passed(number).complaint
    except errors.CourseError as error:
        complaint = f"{error.what} {error.why}"
    if complaint:
        say(f"! {complaint}")


def hint(number: str | float = "") -> Sentence:
    """The next hint; after the last one, the last again and where the solution is. Raises CourseError for an unknown number."""
    exercise = _find(number, "hint")
    turn = min(_given.get(exercise.number, 0), len(exercise.hints) - 1)
    _given[exercise.number] = turn + 1
    last = f'\nThat was the last one. lab.solution("{exercise.number}") shows the solution.' if turn + 1 == len(exercise.hints) else ""
    return Sentence(f"Hint {turn + 1} of {len(exercise.hints)}: {exercise.hints[turn]}{last}")


def solution(number: str | float = "") -> Sentence:
    """The text of a cell that solves the exercise: copy it, run it, check it. Raises CourseError when it cannot be found."""
    number = _find(number, "solution").number
    chapter = next(each for each in chapters.CHAPTERS.values() if each.number == int(number.partition(".")[0]))
    source = chapters.folder("source") / "source" / f"{chapter.stem}.py"
    if not source.is_file():
        raise errors.CourseError(
            f"The solution of {number} was not found.", why=f"{source} does not exist", next="the course's repository has it"
        )
    return Sentence(solutions.find(source.read_text(encoding="utf-8"), number))


def _find(number: str | float, call: str) -> Exercise:
    if number == "":
        chapter = str(session.current().chapter.number)
        own = [each for each in registry.EXERCISES if each.partition(".")[0] == chapter]
        raise errors.CourseError(
            f"lab.{call} needs the number of an exercise.",
            why=f"this chapter's are {', '.join(own)}" if own else f"chapter {chapter} has none",
            next=f'lab.{call}("{next(iter(own), "5.1")}")',
        )
    return exercises.find(number, registry.EXERCISES)
