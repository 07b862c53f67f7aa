"""One module of exercises for each chapter; this file lists them all."""

from __future__ import annotations

from typing import Final

from meshcourse.checks.chapters import ch00_start, ch05_canary
from meshcourse.checks.exercises import Exercise

EXERCISES: Final[dict[str, Exercise]] = {
    exercise.number: exercise for chapter in (ch00_start, ch05_canary) for exercise in chapter.EXERCISES
}
