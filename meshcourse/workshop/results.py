"""A learner's results, computed from the progress that `lab` records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from meshcourse.checks import chapters as registry
from meshcourse.checks.outcome import Verdict
from meshcourse.course import chapters
from meshcourse.course.attempts import Attempt
from meshcourse.course.passed import Record
from meshcourse.workshop.users import User

STUCK_AFTER: Final = 3
"""Checks of one exercise in a row that did not pass."""
COLUMNS: Final = ("learner", "exercise", "passed", "attempts", "hints", "minutes", "last verdict", "last check")
_WORDS: Final = {verdict.value for verdict in Verdict}


@dataclass(frozen=True)
class Results:
    """One learner: what passed and when, every check, which chapters were opened. Only the course's own words are in it."""

    user: User
    record: Record
    attempts: tuple[Attempt, ...]

    @property
    def last(self) -> Attempt | None:
        """The newest check."""
        return self.attempts[-1] if self.attempts else None

    @property
    def chapter(self) -> str:
        """Where they are: the chapter of the newest check or the one that was opened last."""
        opened = max(self.record.opened.items(), key=lambda item: item[1], default=None)
        if self.last and (opened is None or self.last.at >= opened[1]):
            number = int(self.last.number.partition(".")[0])
            return next((each.key for each in chapters.CHAPTERS.values() if each.number == number), "")
        return opened[0] if opened else ""

    @property
    def stuck(self) -> str:
        """The exercise on which the last STUCK_AFTER checks did not pass; empty when there is none."""
        recent = self.attempts[-STUCK_AFTER:]
        alike = len(recent) == STUCK_AFTER and len({each.number for each in recent}) == 1
        return recent[-1].number if alike and not any(each.passed for each in recent) else ""

    def minutes(self, number: str) -> float | None:
        """From what came before (the chapter opened, or an exercise of it passed) until `number` passed; None when that is not known."""
        until = self.record.passed.get(number)
        key = next(each.key for each in chapters.CHAPTERS.values() if each.number == int(number.partition(".")[0]))
        moments = [self.record.opened.get(key)]
        moments += [
            at for other, at in self.record.passed.items() if other.partition(".")[0] == number.partition(".")[0] and other != number
        ]
        before = max((at for at in moments if at and until and at <= until), default=None)
        return (until - before) / timedelta(minutes=1) if until and before else None

    def shown(self) -> dict[str, Any]:
        """For the board's page."""
        last = self.last
        return {
            "account": self.user.account,
            "name": self.user.name,
            "chapter": self.chapter,
            "passed": sorted(self.record.passed, key=_by_number),
            "total": len(registry.EXERCISES),
            "last": {"number": last.number, "verdict": last.verdict, "at": _iso(last.at), "hints": last.hints} if last else None,
            "stuck": self.stuck,
        }


def of(user: User, record: Record, attempts: Iterable[Attempt]) -> Results:
    """The results, without entries that name no exercise of the course: learners can write their own files."""
    known = registry.EXERCISES
    return Results(
        user,
        Record(
            {number: at for number, at in record.passed.items() if number in known and at.tzinfo},
            {key: at for key, at in record.opened.items() if key in chapters.CHAPTERS and at.tzinfo},
        ),
        tuple(each for each in attempts if each.number in known and each.verdict in _WORDS and each.at.tzinfo),
    )


def _by_number(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in number.split("."))


def _iso(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def table(all_results: Iterable[Results]) -> str:
    """All results as CSV: a line for each exercise that a learner has tried or passed."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for each in all_results:
        for number, tried in sorted(_tried(each).items(), key=lambda item: _by_number(item[0])):
            minutes = each.minutes(number)
            writer.writerow(
                (
                    _safe(each.user.name),
                    number,
                    _iso(each.record.passed.get(number)),
                    len(tried),
                    max((attempt.hints for attempt in tried), default=0),
                    "" if minutes is None else f"{minutes:.1f}",
                    tried[-1].verdict if tried else "",
                    _iso(tried[-1].at) if tried else "",
                )
            )
    return out.getvalue()


def _safe(name: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name[:1] in "=+-@" else name


def _tried(results: Results) -> Mapping[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = {number: [] for number in results.record.passed}
    for attempt in results.attempts:
        found.setdefault(attempt.number, []).append(attempt)
    return found
