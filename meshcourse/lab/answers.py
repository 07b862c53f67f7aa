"""lab.answer: an exercise whose answer is something that the learner found, not something that they made.

Answers live as long as the kernel; a passed check is kept by passed.py.
"""

from __future__ import annotations

from meshcourse.checks import chapters as registry
from meshcourse.checks import exercises
from meshcourse.lab.output import Sentence

_given: dict[str, str] = {}


def answer(number: str | float, value: object = ...) -> Sentence:
    """Note your answer to exercise `number`; the dots of the untouched cell are none. Raises CourseError for an unknown number."""
    number = exercises.find(number, registry.EXERCISES).number
    text = "" if value is None or value is ... else str(value).strip()
    if not text:
        _given.pop(number, None)
        return Sentence(f"○ no answer to {number} yet: put it in place of the dots and run this cell again")
    _given[number] = text
    return Sentence(f'noted for {number}: {text}\nNow run lab.check("{number}").')


def given(number: str) -> str:
    """What was answered; an empty text when nothing was."""
    return _given.get(number, "")
