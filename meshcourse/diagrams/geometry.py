"""Rectangles, curves and the width of text, for the layout of a diagram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Point = tuple[float, float]

# Advance widths of DejaVu Sans in thousandths of the font size. It is the widest of the usual system fonts: what fits in it fits in all.
_WIDTHS: Final = {
    letter: width
    for width, letters in (
        (318, " ,."),
        (278, "ijl'"),
        (337, "/\\:;|"),
        (361, "-`"),
        (392, "()[]tfr!IJ"),
        (525, 'csz"?*_'),
        (592, "vxykFL"),
        (640, "abdeghnopqu0123456789ETPYS${}"),
        (705, "ABCKRVXZ~^"),
        (790, "DGHNOQU&"),
        (840, "w+<>=#→←↑↓"),
        (980, "mMW%@"),
    )
    for letter in letters
}
_OTHER: Final = 950


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The greatest width that `text` may have in a system font of `size` pixels."""
    return sum(_WIDTHS.get(letter, _OTHER) for letter in text) / 1000 * size * (1.1 if bold else 1.0)


@dataclass(frozen=True)
class Rect:
    """A rectangle by its centre and size."""

    x: float
    y: float
    w: float
    h: float

    @property
    def left(self) -> float:
        """The smallest x."""
        return self.x - self.w / 2

    @property
    def right(self) -> float:
        """The largest x."""
        return self.x + self.w / 2

    @property
    def top(self) -> float:
        """The smallest y: y grows downwards."""
        return self.y - self.h / 2

    @property
    def bottom(self) -> float:
        """The largest y."""
        return self.y + self.h / 2

    def meets(self, other: Rect, gap: float = 0.0) -> bool:
        """Whether the two are nearer than `gap`."""
        return abs(self.x - other.x) < (self.w + other.w) / 2 + gap and abs(self.y - other.y) < (self.h + other.h) / 2 + gap

    def holds(self, point: Point, gap: float = 0.0) -> bool:
        """Whether `point` is inside, or nearer than `gap`."""
        return abs(point[0] - self.x) < self.w / 2 + gap and abs(point[1] - self.y) < self.h / 2 + gap


def around(rects: Iterable[Rect], *, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Rect:
    """The smallest rectangle around all of `rects`, with room on each side."""
    found = list(rects)
    x0, x1 = min(each.left for each in found) - left, max(each.right for each in found) + right
    y0, y1 = min(each.top for each in found) - top, max(each.bottom for each in found) + bottom
    return Rect((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)


def inside(point: Point, corners: Sequence[Point]) -> bool:
    """Whether `point` is in the convex polygon `corners`, given clockwise on the screen."""
    return all(
        (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]) >= 0
        for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)
    )


@dataclass(frozen=True)
class Curve:
    """A quadratic Bézier curve from `a` over the control point `c` to `b`."""

    a: Point
    c: Point
    b: Point

    def point(self, t: float) -> Point:
        """Where the curve is at `t`, 0 to 1."""
        u = 1 - t
        return (
            u * u * self.a[0] + 2 * u * t * self.c[0] + t * t * self.b[0],
            u * u * self.a[1] + 2 * u * t * self.c[1] + t * t * self.b[1],
        )

    def direction(self, t: float) -> Point:
        """The unit vector along the curve at `t`."""
        u = 1 - t
        dx = u * (self.c[0] - self.a[0]) + t * (self.b[0] - self.c[0])
        dy = u * (self.c[1] - self.a[1]) + t * (self.b[1] - self.c[1])
        length = math.hypot(dx, dy) or 1.0
        return (dx / length, dy / length)

    def part(self, start: float, end: float) -> Curve:
        """The piece from `start` to `end`."""
        a, b = self.point(start), self.point(end)
        u = 1 - start
        mixed = (
            u * (1 - end) * self.a[0] + (start * (1 - end) + u * end) * self.c[0] + start * end * self.b[0],
            u * (1 - end) * self.a[1] + (start * (1 - end) + u * end) * self.c[1] + start * end * self.b[1],
        )
        return Curve(a, mixed, b)

    def clipped(self, leaving: Sequence[Point], entering: Sequence[Point]) -> Curve | None:
        """The segment between two convex outlines; None when they touch or overlap."""
        steps = [each / 200 for each in range(201)]
        out = max((t for t in steps if inside(self.point(t), leaving)), default=0.0)
        back = min((t for t in steps if t > out and inside(self.point(t), entering)), default=1.0)
        if out >= back or out >= 1.0:
            return None
        return self.part(self._border(leaving, out, min(1.0, out + 1 / 200)), self._border(entering, back, max(0.0, back - 1 / 200)))

    def _border(self, corners: Sequence[Point], within: float, outside: float) -> float:
        """Where the curve crosses the outline, by bisection."""
        for _ in range(40):
            middle = (within + outside) / 2
            if inside(self.point(middle), corners):
                within = middle
            else:
                outside = middle
        return outside


def bent(a: Point, b: Point, bend: float) -> Curve:
    """From `a` to `b`, its middle `bend` pixels off the straight line: to the right for positive numbers."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = math.hypot(dx, dy) or 1.0
    return Curve(a, ((a[0] + b[0]) / 2 - 2 * bend * dy / length, (a[1] + b[1]) / 2 + 2 * bend * dx / length), b)
