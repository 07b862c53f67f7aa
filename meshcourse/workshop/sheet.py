"""The page with everybody's name and code, to print and cut: one slip for each learner."""

from __future__ import annotations

import html
from typing import Final

from meshcourse.workshop.record import Workshop

_STYLE: Final = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 1cm; color: #000; background: #fff }
main { display: grid; grid-template-columns: repeat(2, 1fr) }
section { border: 1px dashed #777; padding: .5cm; break-inside: avoid }
dt { float: left; width: 5em; color: #555 } dd { margin: 0 0 .2em 5em; font-weight: 600 }
code { font: 600 17px ui-monospace, monospace }
@media print { p.once { display: none } }
"""


def page(workshop: Workshop) -> str:
    """HTML. The instructor's own code is not on it."""
    slips = "".join(
        f"<section><dl><dt>Address</dt><dd>{html.escape(workshop.url)}</dd><dt>Name</dt><dd>{html.escape(user.name)}</dd>"
        f"<dt>Code</dt><dd><code>{html.escape(user.code)}</code></dd></dl></section>"
        for user in workshop.learners
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Names and codes</title><style>{_STYLE}</style>'
        f'<p class="once">Print this page and cut along the lines. Each code is for one person.</p><main>{slips}</main></html>\n'
    )
