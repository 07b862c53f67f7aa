"""The last minute, tick by tick: the data of a live figure.

Pure but for the deque inside Trail.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from meshcourse.measure.windows import Summary

KINDS = ("4xx", "5xx", "no answer")
SPAN = 60.0
"""Seconds shown."""


@dataclass(frozen=True)
class Tick:
    """One moment. A `summary` of None is a gap: no load ran. A version that is not in `wanted` has an unknown weight."""

    at: float
    wanted: Mapping[str, float]
    summary: Summary | None


@dataclass(frozen=True)
class Band:
    """One version's lines in per cent; None where unknown."""

    wanted: tuple[float | None, ...]
    observed: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True)
class View:
    """Series over `seconds` since the panel was opened: shares by version (per cent), latencies (ms) and error rates (per cent)."""

    seconds: tuple[float, ...]
    versions: Mapping[str, Band]
    latencies: Mapping[str, tuple[float | None, ...]]
    errors: Mapping[str, tuple[float | None, ...]]
    answers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The seconds of single answers, by version."""

    @property
    def range(self) -> tuple[float, float]:
        """The part of the time axis to show."""
        return minute(self.seconds)


def minute(seconds: Sequence[float]) -> tuple[float, float]:
    """The last minute of a series, or the first while it is shorter."""
    end = max(SPAN, seconds[-1] if seconds else 0.0)
    return end - SPAN, end


class Trail:
    """Keeps the ticks of the last minute."""

    def __init__(self, versions: Iterable[str]) -> None:
        self._versions = tuple(versions)
        self._ticks: deque[Tick] = deque()

    def add(self, tick: Tick) -> None:
        """Add the newest tick and drop those older than the picture."""
        self._ticks.append(tick)
        while self._ticks[0].at < tick.at - SPAN - 1.0:
            self._ticks.popleft()

    def view(self, answers: Iterable[tuple[float, str]] = ()) -> View:
        """All of it, ready to draw; with (second, version) of single answers."""
        single = {version: tuple(round(at, 2) for at, each in answers if each == version) for version in self._versions}
        return replace(view(self._versions, tuple(self._ticks)), answers=single)

    def rename(self, versions: Iterable[str]) -> None:
        """Continue with other versions; the data of those that stay is kept."""
        self._versions = tuple(versions)


def view(versions: tuple[str, ...], ticks: tuple[Tick, ...]) -> View:
    """Series from ticks."""
    summaries = [tick.summary for tick in ticks]
    return View(
        tuple(round(tick.at, 2) for tick in ticks),
        {version: _band(version, ticks) for version in versions},
        {name: tuple(_milliseconds(summary, name) for summary in summaries) for name in ("p50", "p95", "p99")},
        {kind: tuple(None if each is None or not each.n else round(100 * each.part(kind), 2) for each in summaries) for kind in KINDS},
    )


def _band(version: str, ticks: tuple[Tick, ...]) -> Band:
    found = [tick.summary.share(version) if tick.summary is not None and tick.summary.labelled else None for tick in ticks]
    return Band(
        tuple(float(tick.wanted[version]) if version in tick.wanted else None for tick in ticks),
        tuple(None if share is None else round(100 * share.share, 2) for share in found),
        tuple(None if share is None else round(100 * share.low, 2) for share in found),
        tuple(None if share is None else round(100 * share.high, 2) for share in found),
    )


def _milliseconds(summary: Summary | None, name: str) -> float | None:
    seconds = None if summary is None else getattr(summary.latency, name)
    return None if seconds is None else round(1000 * seconds, 3)
