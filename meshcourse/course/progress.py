"""Progress through the chapters: which are done, which are begun, what is next."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from meshcourse.checks import chapters as registry
from meshcourse.core import errors, tables
from meshcourse.course import chapters, passed
from meshcourse.course.chapters import Chapter
from meshcourse.course.passed import Record

DONE, BEGUN, OPEN = "✔", "…", "○"


@dataclass(frozen=True)
class Row:
    """One chapter: `exercises` are its numbers in order, each with when it passed, or None."""

    chapter: Chapter
    opened: datetime | None
    exercises: Mapping[str, datetime | None]

    @property
    def passed(self) -> int:
        """How many of its exercises have passed."""
        return sum(at is not None for at in self.exercises.values())

    @property
    def mark(self) -> str:
        """Done: all exercises passed, or opened where there are none. Begun: opened, or some exercise passed."""
        if self.passed == len(self.exercises) and (self.exercises or self.opened):
            return DONE
        return BEGUN if self.opened or self.passed else OPEN

    def marks(self) -> str:
        """Its exercises, for example `5.1 ✔  5.2 ○`."""
        return "  ".join(f"{number} {DONE if at else OPEN}" for number, at in self.exercises.items())


@dataclass(frozen=True)
class Overview:
    """All chapters in order."""

    rows: tuple[Row, ...]
    complaint: str = ""

    @property
    def passed(self) -> int:
        """How many exercises have passed in all chapters."""
        return sum(row.passed for row in self.rows)

    @property
    def total(self) -> int:
        """How many exercises there are."""
        return sum(len(row.exercises) for row in self.rows)

    @property
    def next(self) -> Row | None:
        """The first chapter that is not done; None when all are."""
        return next((row for row in self.rows if row.mark != DONE), None)

    def row(self, key: str) -> Row:
        """The chapter `key`."""
        return next(row for row in self.rows if row.chapter.key == key)

    def headline(self, key: str) -> str:
        """One line for the top of chapter `key`."""
        row = self.row(key)
        here = f"this chapter: {row.passed} of {len(row.exercises)} ({row.marks()})" if row.exercises else "this chapter has none"
        return f"your progress: {self.passed} of {self.total} exercises; {here}"

    def __repr__(self) -> str:
        rows = [
            (f"{row.mark} {row.chapter.number:>2}", row.chapter.title, f"{row.chapter.minutes:>3} min", row.marks()) for row in self.rows
        ]
        return "\n".join([*tables.columns(rows), self.closing()])

    def closing(self) -> str:
        """How many exercises have passed, and what is next."""
        follows = self.next
        what = f"next: chapter {follows.chapter.number}, {follows.chapter.title}" if follows else "that was the whole course"
        return f"{self.passed} of {self.total} exercises passed; {what}"

    def _repr_html_(self) -> str:
        rows = []
        for row in self.rows:
            link = tables.Markup(f'<a href="{row.chapter.stem}.ipynb">{html.escape(row.chapter.title)}</a>')
            rows.append((row.mark, str(row.chapter.number), link, f"{row.chapter.minutes} min", row.marks()))
        return f"{tables.markup(('', '', 'chapter', 'time', 'exercises'), rows)}<p>{html.escape(self.closing())}</p>"


def of(record: Record, numbers: Iterable[str] | None = None) -> Overview:
    """The overview of all chapters from `record`. `numbers` are all exercises."""
    known = tuple(registry.EXERCISES if numbers is None else numbers)
    return Overview(
        tuple(
            Row(
                chapter,
                record.opened.get(chapter.key),
                {number: record.passed.get(number) for number in known if int(number.partition(".")[0]) == chapter.number},
            )
            for chapter in chapters.CHAPTERS.values()
        ),
        record.complaint,
    )


def progress() -> Overview:
    """The chapters, how long each takes, and what you have passed. Raises CourseError when your state folder cannot be used."""
    return of(passed.read())


def named(word: str, overview: Overview) -> tuple[Row, str]:
    """The chapter and exercise that `word` names: a chapter (5, 05-canary, 05_canary) and "", or an exercise (5.1).

    Raises CourseError otherwise.
    """
    key = word.strip().replace("_", "-").removesuffix(".ipynb")
    for row in overview.rows:
        if word in row.exercises:
            return row, word
        if key in {row.chapter.key, str(row.chapter.number), f"{row.chapter.number:02d}"}:
            return row, ""
    raise errors.CourseError(
        f"There is no chapter and no exercise {word!r}.",
        why=f"the chapters are {', '.join(row.chapter.key for row in overview.rows)}; an exercise is a number such as 5.1",
        next="meshcourse progress",
    )
