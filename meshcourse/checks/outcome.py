"""What a check can say: not attempted, passed, not yet, or cannot tell."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """The four words, as the learner reads them."""

    NOT_ATTEMPTED = "not attempted"
    PASSED = "passed"
    NOT_YET = "not yet"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Outcome:
    """One check's answer. `hint` is the next thing to look at; `bound` says how sure a statistical check is (n and false alarm)."""

    exercise: str
    verdict: Verdict
    seen: str = ""
    expected: str = ""
    hint: str = ""
    bound: str = ""

    @property
    def passed(self) -> bool:
        """Whether the exercise is done."""
        return self.verdict is Verdict.PASSED


def not_attempted(exercise: str, missing: str) -> Outcome:
    """The exercise's object is not in the cluster yet; `missing` says which."""
    return Outcome(exercise, Verdict.NOT_ATTEMPTED, seen=missing)


def passed(exercise: str, seen: str, *, bound: str = "") -> Outcome:
    """All is as asked; `seen` says what was measured."""
    return Outcome(exercise, Verdict.PASSED, seen=seen, bound=bound)


def not_yet(exercise: str, *, seen: str, expected: str, hint: str, bound: str = "") -> Outcome:
    """Something differs: what was seen, what was expected, and what to look at next."""
    return Outcome(exercise, Verdict.NOT_YET, seen=seen, expected=expected, hint=hint, bound=bound)


def cannot_tell(exercise: str, why: str, what_next: str) -> Outcome:
    """The cluster did not let us look: `why`, and the command that helps."""
    return Outcome(exercise, Verdict.CANNOT_TELL, seen=why, hint=what_next)
