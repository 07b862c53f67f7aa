"""What a check can say: not attempted, passed, not yet, or cannot tell.

A check returns an Outcome without a number; exercises.judge puts it on. *Cannot tell* is only for trouble of the cluster's own (no
gateway, an API server that does not answer): the learner did not cause it and is told so.
"""

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
    """One check's answer.

    `hint` is the next thing to look at; `bound` says how sure a statistical check is, in both directions; `note` is said first, and says
    which of the learner's answers was judged when that is not the newest one. `exercise` is its number.
    """

    verdict: Verdict
    seen: str = ""
    expected: str = ""
    hint: str = ""
    bound: str = ""
    note: str = ""
    exercise: str = ""

    @property
    def passed(self) -> bool:
        """Whether the exercise is done."""
        return self.verdict is Verdict.PASSED


def not_attempted(missing: str) -> Outcome:
    """The exercise's object is not in the cluster yet; `missing` says which."""
    return Outcome(Verdict.NOT_ATTEMPTED, seen=missing)


def passed(seen: str, *, bound: str = "") -> Outcome:
    """All is as asked; `seen` says what was measured, and which way of several the learner went."""
    return Outcome(Verdict.PASSED, seen=seen, bound=bound)


def not_yet(*, seen: str, expected: str, hint: str, bound: str = "") -> Outcome:
    """Something differs: what was seen, what was expected, and what to look at next."""
    return Outcome(Verdict.NOT_YET, seen=seen, expected=expected, hint=hint, bound=bound)


def cannot_tell(why: str, what_next: str) -> Outcome:
    """The cluster did not let us look: `why`, and the command that helps."""
    return Outcome(Verdict.CANNOT_TELL, seen=why, hint=what_next)
