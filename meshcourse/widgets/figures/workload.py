"""One workload as text: its pods, what its Envoy holds, its last calls, as HTML tables below the commands that show more."""

from __future__ import annotations

import html
from typing import Final

from meshcourse.measure.workloads import Part, Workload
from meshcourse.widgets.figures import inspection

_STYLE: Final = "line-height:1.5;overflow-wrap:break-word"
_LINES: Final = "margin:0;padding:0;line-height:1.4;white-space:pre-wrap;font-size:85%;background:none;color:inherit"


def page(seen: Workload) -> str:
    """The whole page."""
    return box(f"<b>{html.escape(seen.summary)}</b>{''.join(_part(part) for part in seen.parts())}")


def box(inside: str) -> str:
    """HTML in the style of the page, where long names wrap instead of overflowing."""
    return f'<div style="{_STYLE}">{inside}</div>'


def _part(part: Part) -> str:
    title = f'<div style="margin-top:8px">{html.escape(part.title)}<br><code>$ {html.escape(part.command)}</code></div>'
    if not part.rows:
        return f"{title}<i>{html.escape(part.none)}</i>"
    if not part.head:
        return f'{title}<pre style="{_LINES}">{html.escape(chr(10).join(cell for row in part.rows for cell in row))}</pre>'
    return title + inspection.table(part.head, part.rows)
