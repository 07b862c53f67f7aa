"""The objective panel's data: values over the last minute, requests at the release's pods, and how long all objectives have been met."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshcourse.measure import objectives
from meshcourse.measure.objectives import NAMES, Mark, Objectives
from meshcourse.measure.windows import Summary
from meshcourse.widgets.models.history import SPAN, minute

ENOUGH: Final = 30
"""Requests for the release from which on its load is computed."""


@dataclass(frozen=True)
class View:
    """For each objective its values over `seconds` (None: unknown), and its state now."""

    seconds: tuple[float, ...]
    values: Mapping[str, tuple[float | None, ...]]
    marks: tuple[Mark, ...]
    wanted: Objectives

    @property
    def range(self) -> tuple[float, float]:
        """The part of the time axis to show."""
        return minute(self.seconds)


@dataclass(frozen=True)
class Arrivals:
    """At one moment: requests of users to the release, and requests received by its pods, both counted from some start."""

    at: float
    asked: int
    arrived: int


@dataclass(frozen=True)
class Score:
    """How many objectives are met, whether over as many requests as they need, and for how many seconds all of them have been."""

    met: int
    of: int
    whole: bool
    held: float

    def __str__(self) -> str:
        if self.met == self.of:
            if not self.whole:
                return f"all {self.of} objectives are met so far; they count over more requests than have been sent yet"
            return f"all {self.of} objectives met for {self.held:.0f} s"
        return f"{self.met} of {self.of} objectives met"


class Scoring:
    """Keeps the last minute."""

    def __init__(self, wanted: Objectives) -> None:
        self.wanted = wanted
        self._ticks: deque[tuple[float, tuple[Mark, ...]]] = deque()
        self._arrivals: deque[Arrivals] = deque()
        self._since: float | None = None
        self._marks = objectives.marks(objectives.Reading(), wanted)
        self._whole = False

    def gap(self, at: float) -> None:
        """A new run begins: earlier counts do not apply to it."""
        self._arrivals.clear()
        self._since = None
        self._marks = objectives.marks(objectives.Reading(), self.wanted)
        self._whole = False
        self._take(at)

    def arrived(self, sample: Arrivals) -> None:
        """Add counts of arrivals. Counts that have fallen (a pod was deleted or restarted) start over."""
        if self._arrivals and (sample.arrived < self._arrivals[-1].arrived or sample.asked < self._arrivals[-1].asked):
            self._arrivals.clear()
        self._arrivals.append(sample)
        while self._arrivals[0].at < sample.at - 2 * self.wanted.seconds:
            self._arrivals.popleft()

    def tries(self) -> float | None:
        """Requests at the release's pods for each request of a user to it, over the last seconds; None while too few were sent."""
        if not self._arrivals:
            return None
        last = self._arrivals[-1]
        first = next((each for each in self._arrivals if each.at >= last.at - self.wanted.seconds - 0.5), last)
        asked = last.asked - first.asked
        return (last.arrived - first.arrived) / asked if asked >= ENOUGH else None

    def add(self, at: float, summary: Summary) -> Score:
        """Add a window and return the score."""
        self._marks = objectives.marks(objectives.of_summary(summary, self.tries()), self.wanted)
        # A paced load may fill its window except for one request.
        self._whole = summary.n >= 0.9 * self.wanted.requests
        if objectives.met(self._marks) < len(self._marks) or not self._whole:
            self._since = None
        elif self._since is None:
            self._since = at
        self._take(at)
        return self.score(at)

    def _take(self, at: float) -> None:
        self._ticks.append((at, self._marks))
        while self._ticks[0][0] < at - SPAN - 1.0:
            self._ticks.popleft()

    def score(self, at: float) -> Score:
        """The score now."""
        held = at - self._since if self._since is not None else 0.0
        return Score(objectives.met(self._marks), len(self._marks), self._whole, held)

    def view(self) -> View:
        """All of it, ready to draw."""
        values = {
            name: tuple(None if marks[number].value is None else round(float(marks[number].value or 0), 2) for _, marks in self._ticks)
            for number, name in enumerate(NAMES)
        }
        return View(tuple(round(at, 2) for at, _ in self._ticks), values, self._marks, self.wanted)
