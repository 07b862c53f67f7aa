"""A diagram: boxes, frames around them, arrows, notes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KINDS: Final = ("app", "proxy", "control", "person", "store")
STYLES: Final = ("solid", "dashed", "failed")

Spot = tuple[float, float]
Lines = tuple[str, ...]


@dataclass(frozen=True)
class Box:
    """A box: `at` is (column, row), `size` the minimum width and height in pixels."""

    id: str
    at: Spot
    text: Lines
    kind: str = "app"
    size: Spot = (0, 0)


@dataclass(frozen=True)
class Group:
    """A frame with a title around boxes and groups."""

    id: str
    title: str
    around: Lines


@dataclass(frozen=True)
class Arrow:
    """An arrow from `start` to `end`, which are ids of boxes or groups."""

    start: str
    end: str
    label: Lines = ()
    style: str = "solid"
    bend: float = 0.0
    along: float | None = None


@dataclass(frozen=True)
class Note:
    """A text outside of boxes."""

    at: Spot
    text: Lines


@dataclass(frozen=True)
class Picture:
    """A whole diagram; every id in it exists."""

    title: str
    describe: str
    boxes: tuple[Box, ...]
    groups: tuple[Group, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    notes: tuple[Note, ...] = ()
    gap: Spot = (60, 40)

    def members(self, name: str) -> tuple[Box, ...]:
        """The boxes of a box (itself) or of a group, however deep."""
        for group in self.groups:
            if group.id == name:
                return tuple(box for inner in group.around for box in self.members(inner))
        return tuple(box for box in self.boxes if box.id == name)


class DiagramError(Exception):
    """A diagram cannot be drawn; the message names the parts that overlap."""
