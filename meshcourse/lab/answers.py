"""lab.answer: for an exercise whose answer is something that the learner found, not something that they made.

Answers last as long as the kernel; course/passed.py keeps passed checks.
"""

from __future__ import annotations

from meshcourse.checks import chapters as registry
from meshcourse.checks import exercises
from meshcourse.lab.output import Sentence

_given: dict[str, str] = {}


def answer(number: str | float, value: object = ...) -> Sentence:
    """Record your answer to exercise `number`; the dots of the untouched cell are none. Raises CourseError for an unknown number."""
    number = exercises.find(number, registry.EXERCISES).number
    text = "" if value is None or value is ... else str(value).strip()
    if not text:
        _given.pop(number, None)
        return Sentence(f"○ no answer to {number} yet: put it in place of the dots and run this cell again")
    _given[number] = text
    return Sentence(f'noted for {number}: {text}\nNow run lab.check("{number}").')


def given(number: str) -> str:
    """The recorded answer; an empty text when there is none."""
    return _given.get(number, "")
