"""The position of everything in a diagram, in pixels.

Columns and rows grow with their contents, arrows end at borders, labels go to free places.

Pure. Raises DiagramError when two things overlap, an arrow runs through a box, or there is no place for a label.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshcourse.diagrams import geometry
from meshcourse.diagrams.geometry import Curve, Point, Rect
from meshcourse.diagrams.model import Arrow, Box, DiagramError, Lines, Picture, Spot

TITLE: Final = 14.0
"""Font size of a box's first line; SMALL is that of all other text."""
SMALL: Final = 12.0
LEADING: Final = 17.0
ICON: Final = 30.0
"""Height of the figure above a person's name."""
_FRAME: Final = 16.0
_CAPTION: Final = 20.0
_VISIBLE: Final = 14.0
"""How much of an arrow stays free of its label at each end."""
_PAIR: Final = 18.0
"""Bend of two arrows in opposite directions between the same two boxes."""
_LOOP: Final = 40.0
_SLANT: Final = 14.0
_CORNER: Final = 10.0


@dataclass(frozen=True)
class Path:
    """An arrow's curve and its label's rectangle."""

    arrow: Arrow
    curve: Curve
    label: Rect | None = None


@dataclass(frozen=True)
class Layout:
    """Everything in pixels. `boxes` and `notes` are by position in the picture's lists, `captions` by group."""

    boxes: Mapping[str, Rect]
    frames: Mapping[str, Rect]
    captions: Mapping[str, Rect]
    notes: tuple[Rect, ...]
    paths: tuple[Path, ...]

    def extent(self) -> Rect:
        """The area of the whole picture, with a margin."""
        arcs = [Rect(*curve.point(t / 20), 2, 2) for curve in (path.curve for path in self.paths) for t in range(21)]
        labels = [path.label for path in self.paths if path.label]
        every = [*self.boxes.values(), *self.frames.values(), *self.captions.values(), *self.notes, *labels, *arcs]
        return geometry.around(every, left=12, top=12, right=12, bottom=12)


def lay(picture: Picture) -> Layout:
    """The layout of `picture`. Raises DiagramError with the parts that overlap."""
    sizes: dict[str, tuple[float, float]] = {box.id: _box_size(box) for box in picture.boxes}
    things: list[tuple[str, Spot, tuple[float, float]]] = [(box.id, box.at, sizes[box.id]) for box in picture.boxes]
    things += [(f"note {n}", note.at, chip(note.text)) for n, note in enumerate(picture.notes)]
    across, down = _axis(picture, things, 0), _axis(picture, things, 1)
    rects = {name: Rect(across(at[0]), down(at[1]), *size) for name, at, size in things}
    boxes = {box.id: rects[box.id] for box in picture.boxes}
    notes = tuple(rects[f"note {n}"] for n in range(len(picture.notes)))
    frames, captions = _frames(picture, boxes)
    _refuse_overlaps(picture, boxes, frames, notes)
    curves = [_curve(arrow, picture, boxes, frames) for arrow in picture.arrows]
    _refuse_crossings(picture, curves, boxes, notes)
    paths: list[Path] = []
    solid = [*boxes.values(), *captions.values(), *notes]
    for arrow, curve in zip(picture.arrows, curves, strict=True):
        others = [each for each in curves if each is not curve]
        taken = [*solid, *(path.label for path in paths if path.label)]
        paths.append(Path(arrow, curve, _label(arrow, curve, taken, others) if arrow.label else None))
    return Layout(boxes, frames, captions, notes, tuple(paths))


def outline(kind: str, rect: Rect) -> tuple[Point, ...]:
    """The corners of a box, clockwise from the top left: arrows end here."""
    left, right, top, bottom = rect.left, rect.right, rect.top, rect.bottom
    if kind == "proxy":
        upper = ((left + _SLANT, top), (right - _SLANT, top), (right, rect.y))
        return (*upper, (right - _SLANT, bottom), (left + _SLANT, bottom), (left, rect.y))
    if kind == "control":
        cut = _CORNER
        roof = ((left, top + cut), (left + cut, top), (right - cut, top), (right, top + cut))
        return (*roof, (right, bottom - cut), (right - cut, bottom), (left + cut, bottom), (left, bottom - cut))
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def chip(text: Lines, *, bold: bool = False) -> tuple[float, float]:
    """The size of a label with `text` on it."""
    return max(geometry.width(line, SMALL, bold=bold) for line in text) + 14, len(text) * (LEADING - 2) + 6


def _box_size(box: Box) -> tuple[float, float]:
    wide = max(geometry.width(line, SMALL if n else TITLE, bold=not n) for n, line in enumerate(box.text)) + 24
    high = len(box.text) * LEADING + 20
    if box.kind == "proxy":
        wide += 2 * _SLANT - 8
    if box.kind == "person":
        high += ICON
    if box.kind == "store":
        high += 14
    return max(box.size[0], _tens(wide), 70.0), max(box.size[1], _tens(high), 50.0)


def _tens(length: float) -> float:
    """Rounded up, so that boxes with nearly the same text are of the same size."""
    return math.ceil(length / 10) * 10.0


def _axis(picture: Picture, things: Sequence[tuple[str, Spot, tuple[float, float]]], axis: int) -> Callable[[float], float]:
    """From a column (axis 0) or row (axis 1) to pixels. Each step between two whole numbers is as long as its contents need."""
    first = math.floor(min(at[axis] for _, at, _ in things))
    last = math.ceil(max(at[axis] for _, at, _ in things))
    stretches = [0.0] * (last - first)

    def covered(low: float, high: float) -> list[float]:
        return [max(0.0, min(high, first + n + 1) - max(low, first + n)) for n in range(last - first)]

    pairs = sorted(itertools.combinations(things, 2), key=lambda pair: abs(pair[0][1][axis] - pair[1][1][axis]))
    for one, other in pairs:
        here, there = abs(one[1][axis] - other[1][axis]), abs(one[1][1 - axis] - other[1][1 - axis])
        if not (here >= 1 or here > there or (here == there and here > 0 and axis == 0)):
            continue
        needed = (one[2][axis] + other[2][axis]) / 2 + _gap(picture, one[0], other[0], axis, mostly=here >= there)
        shares = covered(*sorted((one[1][axis], other[1][axis])))
        missing = needed - sum(share * stretch for share, stretch in zip(shares, stretches, strict=True))
        if missing > 0:
            weight = sum(share * share for share in shares)
            stretches = [stretch + missing * share / weight for share, stretch in zip(shares, stretches, strict=True)]

    if any(not float(at[axis]).is_integer() for _, at, _ in things):  # so that half-way is half-way: all steps get the same length
        stretches = [max(stretches)] * len(stretches)

    def place(value: float) -> float:
        return sum(share * stretch for share, stretch in zip(covered(first, value), stretches, strict=True))

    return place


def _gap(picture: Picture, one: str, other: str, axis: int, *, mostly: bool) -> float:
    """The room between two things: the picture's gap, the frames between them, and the label of an arrow that joins them."""
    frames = 0.0
    for group in picture.groups:
        members = {box.id for box in picture.members(group.id)}
        if (one in members) != (other in members):
            frames += _FRAME + (_CAPTION / 2 if axis == 1 else 0)
    gap = picture.gap[axis] + frames
    for arrow in picture.arrows:
        if arrow.label and mostly and {arrow.start, arrow.end} == {one, other}:
            gap = max(gap, chip(arrow.label)[axis] + 2 * _VISIBLE + 16 + frames)
    return gap


def _frames(picture: Picture, boxes: Mapping[str, Rect]) -> tuple[dict[str, Rect], dict[str, Rect]]:
    frames: dict[str, Rect] = {}
    captions: dict[str, Rect] = {}
    for group in picture.groups:
        held = [{**boxes, **frames}[name] for name in group.around]
        tight = geometry.around(held, left=_FRAME, right=_FRAME, bottom=_FRAME, top=_FRAME + _CAPTION / 2)
        wide, high = chip((group.title,), bold=True)
        frame = Rect(tight.x, tight.y, max(tight.w, wide + 24), tight.h)
        frames[group.id] = frame
        captions[group.id] = Rect(frame.left + 12 + wide / 2, frame.top, wide, high)
    return frames, captions


def _curve(arrow: Arrow, picture: Picture, boxes: Mapping[str, Rect], frames: Mapping[str, Rect]) -> Curve:
    every = {**boxes, **frames}
    start, end = every[arrow.start], every[arrow.end]
    if arrow.start == arrow.end:
        height = 2 * (arrow.bend or _LOOP)
        return Curve((start.x - 22, start.top), (start.x, start.top - height), (start.x + 22, start.top))
    back = any((each.start, each.end) == (arrow.end, arrow.start) for each in picture.arrows)
    whole = geometry.bent((start.x, start.y), (end.x, end.y), arrow.bend or (_PAIR if back else 0.0))
    kinds = {box.id: box.kind for box in picture.boxes}
    shapes = [outline(kinds.get(name, "frame"), every[name]) for name in (arrow.start, arrow.end)]
    curve = whole.clipped(*shapes)
    if curve is None:
        raise DiagramError(f"there is no room for an arrow from {arrow.start} to {arrow.end}: one is inside the other")
    return curve


def _label(arrow: Arrow, curve: Curve, taken: Sequence[Rect], others: Sequence[Curve]) -> Rect:
    """The first free place: on the line, then beside it, and if possible away from other arrows."""
    wide, high = chip(arrow.label)
    alongs = (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74) if arrow.along is None else (arrow.along,)
    candidates = []
    for side in (0, 1, -1):
        for along in alongs:
            (x, y), (dx, dy) = curve.point(along), curve.direction(along)
            away = side * (abs(dy) * wide / 2 + abs(dx) * high / 2 + 5)
            candidates.append(Rect(x + dy * away, y - dx * away, wide, high))
    ends = [_at_distance(curve, _VISIBLE, backwards=backwards) for backwards in (False, True)]
    free = [
        each for each in candidates if not any(each.meets(other, 4) for other in taken) and not any(each.holds(point) for point in ends)
    ]
    quiet = [each for each in free if not any(each.holds(other.point(t / 40), 2) for other in others for t in range(41))]
    if free:
        return (*quiet, *free)[0]
    raise DiagramError(
        f"the label {' '.join(arrow.label)!r} of the arrow from {arrow.start} to {arrow.end} has no place; "
        "make it shorter, move its boxes apart (`at`, `gap`), or bend the arrow",
    )


def _at_distance(curve: Curve, distance: float, *, backwards: bool) -> Point:
    """The point of the curve that is `distance` from one of its ends."""
    origin = curve.b if backwards else curve.a
    for step in range(201):
        point = curve.point(1 - step / 200 if backwards else step / 200)
        if math.dist(point, origin) >= distance:
            return point
    return curve.point(0.5)


def _refuse_overlaps(picture: Picture, boxes: Mapping[str, Rect], frames: Mapping[str, Rect], notes: Sequence[Rect]) -> None:
    named = [*((f"box {name}", rect) for name, rect in boxes.items()), *((f"note {n + 1}", rect) for n, rect in enumerate(notes))]
    for (one, first), (other, second) in itertools.combinations(named, 2):
        if first.meets(second, 4):
            raise DiagramError(f"{one} and {other} overlap; move one of them (`at`)")
    inner = {group.id: {f"box {box.id}" for box in picture.members(group.id)} for group in picture.groups}
    for group, frame in frames.items():
        for name, rect in named:
            remark = name.startswith("note") and geometry.around([frame, rect]) == frame  # a note may lie in a frame
            if name not in inner[group] and frame.meets(rect, 2) and not remark:
                raise DiagramError(f"{name} is inside the frame of group {group} and does not belong to it; move it (`at`)")
    for one, other in itertools.combinations(frames, 2):
        nested = inner[one] <= inner[other] or inner[other] <= inner[one]
        if not nested and frames[one].meets(frames[other], 4):
            raise DiagramError(f"groups {one} and {other} overlap; move their boxes apart (`at`, `gap`)")


def _refuse_crossings(picture: Picture, curves: Sequence[Curve], boxes: Mapping[str, Rect], notes: Sequence[Rect]) -> None:
    for arrow, curve in zip(picture.arrows, curves, strict=True):
        ends = {box.id for name in (arrow.start, arrow.end) for box in picture.members(name)}
        others = [(f"box {name}", rect) for name, rect in boxes.items() if name not in ends]
        for name, rect in [*others, *(("a note", each) for each in notes)]:
            if any(rect.holds(curve.point(t / 80), 3) for t in range(81)):
                why = f"the arrow from {arrow.start} to {arrow.end} runs through {name}; give it a `bend`, or move the box"
                raise DiagramError(why)
