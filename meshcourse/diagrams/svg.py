"""A diagram as SVG text, without scripts, fonts or links. Pure.

The page behind it may be white or nearly black: JupyterLab's dark theme does not set prefers-color-scheme. So all text has its own
background, with a contrast of 4.5 or more, and every line and surface has 3 or more on white and on #111. Kinds differ by shape as well as
by colour, and the colours follow Okabe and Ito, which colour-blind people can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from meshcourse.diagrams import layout
from meshcourse.diagrams.geometry import Point, Rect
from meshcourse.diagrams.layout import LEADING, SMALL, TITLE
from meshcourse.diagrams.model import Box, Lines, Picture

FILLS: Final = {"app": "#0f7a5c", "proxy": "#1f6fb5", "control": "#a8560a", "person": "#67707c", "store": "#96549a"}
ON_FILL: Final = "#ffffff"
LINE: Final = "#76808c"
FAILED: Final = "#c8461e"
PLATE: Final = ("#eef1f4", "#1f2933")
"""Surface and text of labels, titles and notes; the second pair is for a browser in dark mode."""
DARK_PLATE: Final = ("#2c333b", "#eef1f4")
_FONT: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif"


def svg(picture: Picture, name: str) -> str:
    """The whole picture; `name` begins the ids in it. Raises DiagramError when its parts overlap."""
    laid = layout.lay(picture)
    extent = laid.extent()
    view = f"{_n(extent.left)} {_n(extent.top)} {_n(extent.w)} {_n(extent.h)}"
    size = f'width="{_n(extent.w)}" height="{_n(extent.h)}" viewBox="{view}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape(picture.title)}</title>',
        f'<desc id="{name}-desc">{escape(picture.describe)}</desc>',
        f"<style>{_style()}</style>",
    ]
    parts += [f'<rect class="frame" {_at(laid.frames[group.id])} rx="10"/>' for group in reversed(picture.groups)]
    parts += [_arrow(path) for path in laid.paths]
    parts += [_box(box, laid.boxes[box.id]) for box in picture.boxes]
    parts += [_plate((group.title,), laid.captions[group.id], "caption") for group in picture.groups]
    parts += [_plate(path.arrow.label, path.label, "label") for path in laid.paths if path.label]
    parts += [_plate(note.text, rect, "note") for note, rect in zip(picture.notes, laid.notes, strict=True)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _style() -> str:
    rules = [
        f"text{{font-family:{_FONT};font-size:{SMALL:g}px;fill:{ON_FILL};text-anchor:middle}}",
        f".name{{font-size:{TITLE:g}px;font-weight:600}}",
        *(f".{kind}{{fill:{fill}}}" for kind, fill in FILLS.items()),
        f".icon{{fill:{ON_FILL}}}",
        f".rim{{fill:none;stroke:{ON_FILL};stroke-width:1.5;opacity:.7}}",
        f".frame{{fill:{LINE};fill-opacity:.1;stroke:{LINE};stroke-width:1.5}}",
        f".line{{fill:none;stroke:{LINE};stroke-width:2}}",
        f".head{{fill:{LINE}}}",
        ".dashed{stroke-dasharray:7 5}",
        f".failed{{stroke:{FAILED}}}",
        f".plate{{fill:{PLATE[0]}}}",
        f".plate~text{{fill:{PLATE[1]}}}",
        ".caption text{font-weight:600}",
        f".note .plate{{stroke:{LINE};stroke-width:1}}",
        ".note text{font-style:italic}",
        f"@media (prefers-color-scheme:dark){{.plate{{fill:{DARK_PLATE[0]}}}.plate~text{{fill:{DARK_PLATE[1]}}}}}",
    ]
    return "".join(rules)


def _box(box: Box, rect: Rect) -> str:
    top = rect.y - len(box.text) * LEADING / 2
    icon = ""
    if box.kind == "person":
        top += layout.ICON / 2
        head, neck = rect.top + 15, rect.top + 37
        icon = (
            f'<circle class="icon" cx="{_n(rect.x)}" cy="{_n(head)}" r="6.5"/>'
            f'<path class="icon" d="M{_n(rect.x - 12)} {_n(neck)}a12 12 0 0 1 24 0z"/>'
        )
    if box.kind == "store":
        top += 5
    lines = "".join(
        f'<text{"" if n else _NAME} x="{_n(rect.x)}" y="{_n(top + LEADING * (n + 0.74))}">{escape(line)}</text>'
        for n, line in enumerate(box.text)
    )
    return f"<g>{_shape(box.kind, rect)}{icon}{lines}</g>"


_NAME: Final = ' class="name"'


def _shape(kind: str, rect: Rect) -> str:
    if kind in {"proxy", "control"}:
        return f'<polygon class="{kind}" points="{_points(layout.outline(kind, rect))}"/>'
    if kind == "store":
        half, dip = rect.w / 2, 8.0
        arc = f"a{_n(half)} {_n(dip)} 0 0"
        body = f"M{_n(rect.left)} {_n(rect.top + dip)}{arc} 1 {_n(rect.w)} 0V{_n(rect.bottom - dip)}{arc} 1 {_n(-rect.w)} 0z"
        rim = f"M{_n(rect.left)} {_n(rect.top + dip)}{arc} 0 {_n(rect.w)} 0"
        return f'<path class="store" d="{body}"/><path class="rim" d="{rim}"/>'
    return f'<rect class="{kind}" {_at(rect)} rx="{26 if kind == "person" else 8}"/>'


def _arrow(path: layout.Path) -> str:
    curve = path.curve
    (x, y), (dx, dy) = curve.b, curve.direction(1)
    style = "" if path.arrow.style == "solid" else f" {path.arrow.style}"
    short = curve.part(0, 0.999)
    shaft = (x - dx * 7, y - dy * 7) if style != " failed" else (x - dx * 12, y - dy * 12)
    d = f"M{_n(short.a[0])} {_n(short.a[1])}Q{_n(short.c[0])} {_n(short.c[1])} {_n(shaft[0])} {_n(shaft[1])}"
    line = f'<path class="line{style}" d="{d}"/>'
    if style == " failed":
        cross = "".join(f"M{_n(shaft[0] - 6)} {_n(shaft[1] - 6 * way)}L{_n(shaft[0] + 6)} {_n(shaft[1] + 6 * way)}" for way in (1, -1))
        return f'{line}<path class="line failed" d="{cross}"/>'
    head = ((x, y), (x - dx * 10 - dy * 5, y - dy * 10 + dx * 5), (x - dx * 10 + dy * 5, y - dy * 10 - dx * 5))
    return f'{line}<polygon class="head" points="{_points(head)}"/>'


def _plate(text: Lines, rect: Rect, kind: str) -> str:
    first = rect.y - len(text) * (LEADING - 2) / 2
    lines = "".join(
        f'<text x="{_n(rect.x)}" y="{_n(first + (LEADING - 2) * (n + 0.77))}">{escape(line)}</text>' for n, line in enumerate(text)
    )
    return f'<g class="{kind}"><rect class="plate" {_at(rect)} rx="5"/>{lines}</g>'


def _points(corners: Sequence[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in corners)


def _at(rect: Rect) -> str:
    return f'x="{_n(rect.left)}" y="{_n(rect.top)}" width="{_n(rect.w)}" height="{_n(rect.h)}"'


def _n(number: float) -> str:
    """A coordinate with at most one decimal: so no machine's last digit of a float reaches the file."""
    rounded = round(number, 1) + 0.0  # no -0
    return f"{rounded:.1f}".removesuffix(".0")
