"""The last minute of a circuit breaker, tick by tick: what callers got, what Envoy counted, which endpoints were in use or ejected.

Pure but for the deque inside Trail.

Envoy's counters only rise; rates per second are their rise over the last SPREAD seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from meshcourse.measure.admin import Endpoint
from meshcourse.measure.windows import Summary
from meshcourse.widgets.models.history import SPAN, minute

ANSWERED, REFUSED, BROKEN, NOBODY, OTHER = "answered", "over the limit", "broken replica", "none left", "other"
KINDS: Final = (ANSWERED, REFUSED, BROKEN, NOBODY, OTHER)
SPREAD: Final = 2.0
"""Seconds over which rates are computed."""
_COUNTED: Final = {
    ANSWERED: ("upstream_rq_2xx",),
    REFUSED: ("upstream_rq_pending_overflow",),
    NOBODY: ("upstream_cx_none_healthy",),
    OTHER: ("upstream_rq_3xx", "upstream_rq_4xx"),
}
_FAILED: Final = "upstream_rq_5xx"
"""Includes what Envoy itself refused; the rest came from a replica."""


@dataclass(frozen=True)
class Standing:
    """One endpoint at one moment; `name` is the workload and the address."""

    name: str
    endpoint: Endpoint


@dataclass(frozen=True)
class Tick:
    """One moment. `summary` is None while no load runs; `counters` are empty while the proxy cannot be read."""

    at: float
    summary: Summary | None
    counters: Mapping[str, int] = field(default_factory=dict)
    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True)
class View:
    """Series over `seconds` since the panel was opened: requests per second by kind, as callers got them and as Envoy counted them."""

    seconds: tuple[float, ...]
    got: Mapping[str, tuple[float | None, ...]]
    counted: Mapping[str, tuple[float | None, ...]]
    inside: tuple[tuple[float, str], ...]
    """(second, endpoint) for each moment at which an endpoint was in use."""
    outside: tuple[tuple[float, str], ...]
    """The same, for ejected endpoints."""
    names: tuple[str, ...]
    """Endpoints seen, in order."""

    @property
    def range(self) -> tuple[float, float]:
        """The part of the time axis to show."""
        return minute(self.seconds)


class Trail:
    """Keeps the ticks of the last minute."""

    def __init__(self) -> None:
        self._ticks: deque[Tick] = deque()

    def add(self, tick: Tick) -> None:
        """Add the newest tick and drop those older than the picture."""
        self._ticks.append(tick)
        while self._ticks[0].at < tick.at - SPAN - 1.0:
            self._ticks.popleft()

    def view(self) -> View:
        """All of it, ready to draw."""
        return view(tuple(self._ticks))


def view(ticks: tuple[Tick, ...]) -> View:
    """Series from ticks."""
    rates = _rates(ticks)
    visits = _visits(ticks)
    marks = [(round(tick.at, 2), standing) for tick in ticks for standing in tick.standings]
    return View(
        tuple(round(tick.at, 2) for tick in ticks),
        {kind: tuple(_got(tick.summary, kind) for tick in ticks) for kind in KINDS},
        {kind: tuple(None if rate is None else rate[kind] for rate in rates) for kind in KINDS},
        tuple((at, standing.name) for at, standing in marks if not standing.endpoint.ejected or (at, standing.name) in visits),
        tuple((at, standing.name) for at, standing in marks if standing.endpoint.ejected),
        tuple(sorted({standing.name for _, standing in marks})),
    )


def _visits(ticks: tuple[Tick, ...]) -> set[tuple[float, str]]:
    """(second, endpoint) where an ejected one got requests since the tick before: it was in between, or Envoy ignores ejections."""
    found, last = set(), dict[str, int]()
    for tick in ticks:
        for each in tick.standings:
            if each.endpoint.ejected and last.get(each.name, each.endpoint.requests) < each.endpoint.requests:
                found.add((round(tick.at, 2), each.name))
            last[each.name] = each.endpoint.requests
    return found


def risen(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """How many requests of each kind came between two readings of Envoy's counters.

    A counter that has fallen was reset: when a DestinationRule changes, Envoy creates the cluster again, with its counters by status.
    """

    def rise(name: str) -> int:
        was, now = before.get(name, 0), after.get(name, 0)
        return now - was if now >= was else now

    found = {kind: sum(map(rise, names)) for kind, names in _COUNTED.items()}
    found[BROKEN] = max(0, rise(_FAILED) - found[REFUSED] - found[NOBODY])
    return {kind: found[kind] for kind in KINDS}


def _got(summary: Summary | None, kind: str) -> float | None:
    if summary is None:
        return None
    count = sum(summary.versions.values()) if kind == OTHER else summary.versions.get(kind, 0)
    return round((summary.n - count if kind == OTHER else count) / summary.seconds, 2)


def _rates(ticks: tuple[Tick, ...]) -> list[dict[str, float] | None]:
    """Requests per second of each kind, over the SPREAD seconds or a little more before each tick; None where unknown."""
    rates: list[dict[str, float] | None] = []
    sums: list[tuple[float, dict[str, int]]] = []
    last: Mapping[str, int] = {}
    for tick in ticks:
        if not tick.counters:
            sums, last = [], {}
            rates.append(None)
            continue
        came = risen(last, tick.counters) if last else dict.fromkeys(KINDS, 0)
        total = {kind: came[kind] + (sums[-1][1][kind] if sums else 0) for kind in KINDS}
        sums.append((tick.at, total))
        last = tick.counters
        older = [(at, each) for at, each in sums if at <= tick.at - SPREAD]
        rates.append({kind: round((total[kind] - older[-1][1][kind]) / (tick.at - older[-1][0]), 2) for kind in KINDS} if older else None)
    return rates
