"""`meshcourse progress`: show which exercises have passed and what is next, or start again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from meshcourse.cli import display
from meshcourse.core.errors import CourseError

if TYPE_CHECKING:
    from meshcourse.course.passed import Record
    from meshcourse.course.progress import Overview, Row

What = Annotated[list[str] | None, typer.Argument(metavar="[CHAPTER|EXERCISE]...", help="Only these, such as 5, 05-canary or 5.1.")]
Reset = Annotated[bool, typer.Option("--reset", help="Forget that these passed, or everything if none is named. Asks first.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def progress(what: What = None, reset: Reset = False, yes: Yes = False, as_json: Json = False) -> None:
    """Show which exercises you have passed, and which chapter is next.

    \b
    meshcourse progress
    meshcourse progress 5
    meshcourse progress --reset 5.1     forget one exercise; a chapter; without a name, everything
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.course import passed, progress

    record = passed.read()
    found = progress.of(record)
    if found.complaint:
        display.report(f"! {found.complaint}")
    chosen = [progress.named(word, found) for word in what or ()]
    if reset:
        _reset(record, chosen, yes=yes)
        return
    rows = [row for row in found.rows if not chosen or row in [each for each, _ in chosen]]
    if as_json:
        typer.echo(json.dumps(_content(found, rows), indent=1, ensure_ascii=False))
        return
    display.table(("", "", "chapter", "time", "passed", "exercises"), [_line(row) for row in rows])
    display.console.print(found.closing(), soft_wrap=True)
    if found.next:
        display.console.print(f"meshcourse lab     then open {found.next.chapter.stem}.ipynb", soft_wrap=True)


def _line(row: Row) -> tuple[str, ...]:
    passed = f"{row.passed} of {len(row.exercises)}" if row.exercises else "-"
    dates = "  ".join(f"{number} {f'✔ {at.astimezone():%Y-%m-%d}' if at else '○'}" for number, at in row.exercises.items())
    return row.mark, str(row.chapter.number), row.chapter.title, f"{row.chapter.minutes} min", passed, dates


def _content(found: Overview, rows: list[Row]) -> dict[str, object]:
    return {
        "passed": found.passed,
        "total": found.total,
        "next": found.next.chapter.key if found.next else None,
        "chapters": [
            {
                "key": row.chapter.key,
                "title": row.chapter.title,
                "minutes": row.chapter.minutes,
                "opened": row.opened.isoformat() if row.opened else None,
                "exercises": {number: at.isoformat() if at else None for number, at in row.exercises.items()},
            }
            for row in rows
        ],
    }


def _reset(record: Record, chosen: list[tuple[Row, str]], *, yes: bool) -> None:
    from meshcourse.course import passed

    whole = [row for row, number in chosen if not number]
    chapters = frozenset(row.chapter.key for row in whole) if chosen else frozenset(record.opened)
    named = frozenset(number for _, number in chosen) | frozenset(number for row in whole for number in row.exercises)
    gone = frozenset(record.passed) & named if chosen else frozenset(record.passed)
    if not gone and not chapters & frozenset(record.opened):
        display.done("there is nothing to forget")
        return
    what = ", ".join(sorted(gone)) or "which chapters were opened"
    if not yes and not typer.confirm(f"Forget {what}?"):
        raise CourseError("Nothing has been forgotten.", next="meshcourse progress ... --yes    # to do it without the question")
    passed.forget(gone, chapters)
    display.done(f"forgotten: {what}")
