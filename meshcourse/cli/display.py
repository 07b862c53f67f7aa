"""How commands print: tables that fit the terminal, plain lines for a pipe, errors in three parts."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meshcourse.core import progress
from meshcourse.core.errors import MeshcourseError

console = Console(highlight=False)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout, without headings when all are empty; into a pipe at full width."""
    made = Table(box=box.SIMPLE_HEAD if any(headings) else None, show_header=any(headings), pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    console.print(made, width=None if console.is_terminal else 200, crop=False)


def show_error(error: MeshcourseError) -> None:
    """Print an error's three parts on stderr. Lines are not wrapped, so that the next command can be copied."""
    out = progress.console
    out.print(f"[bold red]✘[/bold red] [bold]{escape(error.what)}[/bold]", soft_wrap=True)
    for label, text in (("Why: ", error.why), ("Next:", as_typed_here(error.next))):
        if text:
            out.print(f"  [dim]{label}[/dim] {escape(text)}", soft_wrap=True)


def as_typed_here(command: str) -> str:
    """`command` as it can be typed in this terminal: `make` sets MESHCOURSE_COMMAND, since its meshcourse is not on PATH."""
    command, found = completed(command, sys.argv[1:]), os.environ.get("MESHCOURSE_COMMAND", "")
    return f"{found}{command.removeprefix('meshcourse')}" if found and command.startswith("meshcourse ") else command


def completed(command: str, typed: Sequence[str]) -> str:
    """`meshcourse up ... --istio demo` with the dots replaced by what was `typed`, without options that it sets itself.

    When another command was typed, only the cluster's name is kept.
    """
    head, dots, rest = command.partition(" ... ")
    if not dots or len(head.split()) > 2:  # noqa: PLR2004 - `meshcourse up`; other dots stand in a comment
        return command
    same = head.split()[1:] == list(typed[:1])
    kept, keep = [], same
    for word in typed[1:]:
        if word.startswith("-"):
            option = word.partition("=")[0]
            keep = option not in rest.partition("#")[0].split() and (same or option == "--name")
        kept += [shlex.quote(word)] if keep else []
    return " ".join([head, *kept, rest])


def report(line: str) -> None:
    """One line of progress on stderr."""
    progress.console.print(f"  [dim]{escape(line)}[/dim]", soft_wrap=True)


def done(text: str) -> None:
    """One finished step on stderr."""
    progress.console.print(f"[green]✔[/green] {escape(text)}", soft_wrap=True)


def duration(seconds: float) -> str:
    """A length of time as kubectl writes ages: 42s, 5m, 3h, 2d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def age(since: float) -> str:
    """How long ago `since` (Unix time in seconds) was."""
    return duration(time.time() - since)
