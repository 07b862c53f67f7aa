"""Two installation profiles side by side."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from meshcourse.mesh.install.profiles import Profile, Row
from meshcourse.widgets import palette

_CELL: Final = "padding:2px 12px;text-align:left;border-bottom:1px solid rgba(128,128,128,0.3)"


def table(one: Profile, other: Profile, rows: Sequence[Row]) -> str:
    """The comparison as HTML; rows that are the same in both are left out, and counted in the last line."""
    head = "".join(f'<th style="{_CELL}">{html.escape(text)}</th>' for text in ("", _title(one), _title(other)))
    body = "".join(_row(row) for row in rows if not row.same)
    same = sum(row.same for row in rows)
    last = f"<div>{same} more lines are the same in both.</div>" if body else f"<div>All {same} lines are the same.</div>"
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{last}'


def _title(profile: Profile) -> str:
    return f"{profile.name} ({profile.count} objects)"


def _row(row: Row) -> str:
    cells = "".join(
        f'<td style="{_CELL};background:{palette.faint(palette.series(0))}">{html.escape(text)}</td>'
        if text
        else f'<td style="{_CELL}">–</td>'  # noqa: RUF001 - a dash for nothing
        for text in (row.one, row.other)
    )
    return f'<tr><th style="{_CELL};font-weight:normal">{html.escape(row.what)}</th>{cells}</tr>'


def describe(one: Profile, other: Profile, rows: Sequence[Row]) -> str:
    """The comparison as text, for screen readers."""
    only = [[row.what for row in rows if row.one and not row.other], [row.what for row in rows if row.other and not row.one]]
    parts = [f"only in {profile.name}: {', '.join(found)}" for profile, found in zip((one, other), only, strict=True) if found]
    changed = [
        f"{row.what} is {row.one} in {one.name} and {row.other} in {other.name}" for row in rows if row.one and row.other and not row.same
    ]
    return "; ".join([*parts, *changed]) + "." if parts or changed else f"{one.name} and {other.name} are the same."
