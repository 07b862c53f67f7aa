"""Tables as text, for terminals and cells, and as HTML, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

BAR = 30
"""Characters of the longest bar."""
LEFT = "text-align:left"
SPACED = "border-spacing:14px 1px;margin-left:-14px;color:inherit;font-size:inherit;text-align:left"
"""The style of an HTML table without lines."""


class Markup(str):
    """A cell that is HTML already."""

    __slots__ = ()


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Rows of as many cells each as lines of text: columns two spaces apart, as wide as their widest cell."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [indent + "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows]


def bar(share: float) -> str:
    """A bar for a share of 0 to 1."""
    return "█" * round(BAR * share)


def shares(counts: Iterable[tuple[str, int]], n: int) -> list[str]:
    """A line for each name: its count, its share of `n` (at least 1), and a bar."""
    return columns([(name, f"{count:>6,}", f"{count / n:>6.1%}", bar(count / n)) for name, count in counts], "  ")


def markup(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, style: str = "", cell: str = LEFT, grounds: Mapping[int, str] | None = None
) -> str:
    """An HTML table: `style` of the whole, `cell` of each cell. `grounds` are colours of rows by their number, from 0."""

    def line(tag: str, row: Sequence[str]) -> str:
        return "".join(f'<{tag} style="{cell}">{text if isinstance(text, Markup) else html.escape(text)}</{tag}>' for text in row)

    top = f"<thead><tr>{line('th', head)}</tr></thead>\n" if head else ""
    body = ""
    for number, row in enumerate(rows):
        ground = f' style="background:{grounds[number]}"' if grounds and number in grounds else ""
        body += f"<tr{ground}>{line('td', row)}</tr>\n"
    return f'<table style="{style}">\n{top}<tbody>{body}</tbody></table>\n'
