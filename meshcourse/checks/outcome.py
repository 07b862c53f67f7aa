"""The result of a check: not attempted, passed, not yet, or cannot tell.

A check returns an Outcome without a number; judging.judge sets it. *Cannot tell* is only for errors of the cluster itself (no gateway, an
API server that does not answer): the learner did not cause them, and the text says so.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """The four verdicts, in the learner's words."""

    NOT_ATTEMPTED = "not attempted"
    PASSED = "passed"
    NOT_YET = "not yet"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Outcome:
    """One check's answer.

    `hint` is the next thing to look at; `bound` is the certainty of a statistical check, in both directions; `note` comes first, and says
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
    """The exercise's object is not in the cluster yet; `missing` names it."""
    return Outcome(Verdict.NOT_ATTEMPTED, seen=missing)


def passed(seen: str, *, bound: str = "") -> Outcome:
    """All is as required; `seen` is what was measured, and which of several solutions the learner chose."""
    return Outcome(Verdict.PASSED, seen=seen, bound=bound)


def not_yet(*, seen: str, expected: str, hint: str, bound: str = "") -> Outcome:
    """Something differs: what was seen, what was expected, and what to look at next."""
    return Outcome(Verdict.NOT_YET, seen=seen, expected=expected, hint=hint, bound=bound)


def cannot_tell(why: str, what_next: str) -> Outcome:
    """The cluster could not be read: `why`, and the command that helps."""
    return Outcome(Verdict.CANNOT_TELL, seen=why, hint=what_next)
