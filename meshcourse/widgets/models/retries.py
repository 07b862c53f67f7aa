"""The predicted and the observed effect of retries, computed for the retry panel's picture."""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass
from typing import Final

from meshcourse.measure import binomial, retries
from meshcourse.measure.binomial import Share
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules.retry_chain import Retrying
from meshcourse.widgets.models import history

SUCCEEDED = "succeeded"
"""The only series of the trail."""
SPREAD: Final = 6.0
"""Seconds over which arrivals are compared with users' requests."""
ENOUGH: Final = 20
"""Users' requests from which on the comparison is shown."""
MOST: Final = 10
"""The most retries that the panel's slider allows."""


@dataclass(frozen=True)
class Bar:
    """One bar: observed (None: nothing yet) beside predicted (None: no prediction for this one)."""

    name: str
    observed: float | None
    predicted: float | None


@dataclass(frozen=True)
class View:
    """`success` over the last minute, in per cent; `tries` in per cent of requests; `hops` in requests for each request of a user."""

    success: history.View
    tries: tuple[Bar, ...]
    hops: tuple[Bar, ...]


@dataclass(frozen=True)
class Arrivals:
    """At one moment: users' requests answered, and arrivals at each of the two hops, all counted from some start."""

    at: float
    users: int
    front: int
    middle: int


@dataclass(frozen=True)
class Prediction:
    """The formula's values for some settings: the share that succeeds (0 to 1), and requests per user's request at each hop."""

    success: float
    front: float
    middle: float


def predicted(settings: Retrying) -> Prediction:
    """Each try of the first service at middle fails with the fault's probability; each try of the gateway when all of those fail."""
    fail = settings.fault / 100
    inner = 1.0 - retries.success(fail, settings.first)
    front = retries.tries(inner, settings.gateway)
    return Prediction(retries.success(inner, settings.gateway), front, front * retries.tries(fail, settings.first))


def success(summary: Summary) -> Share:
    """The share of requests answered below 400."""
    return binomial.observed(_good(summary), summary.n)


def _good(summary: Summary) -> int:
    return summary.n - sum(summary.errors().values())


class Story:
    """Keeps the last minute of success, and the last seconds of arrivals. `settings` may change at any time."""

    def __init__(self, settings: Retrying) -> None:
        self.settings = settings
        self._trail = history.Trail((SUCCEEDED,))
        self._arrivals: deque[Arrivals] = deque()

    def turn(self, settings: Retrying) -> None:
        """Continue with other settings: results under the old ones do not apply to the new."""
        if settings != self.settings:
            self.settings = settings
            self._arrivals.clear()

    def add(self, at: float, summary: Summary | None) -> None:
        """Add a window; None is a gap."""
        wanted = {} if self.settings.unlike else {SUCCEEDED: 100.0 * predicted(self.settings).success}
        counted = None if summary is None else dataclasses.replace(summary, versions={SUCCEEDED: _good(summary)} | _failed(summary))
        self._trail.add(history.Tick(at, wanted, counted))

    def arrived(self, sample: Arrivals) -> None:
        """Add counts of arrivals. Counters that have fallen (a pod restarted) start a new count."""
        last = self._arrivals[-1] if self._arrivals else sample
        if min(sample.users - last.users, sample.front - last.front, sample.middle - last.middle) < 0:
            self._arrivals.clear()
        self._arrivals.append(sample)
        while self._arrivals[0].at < sample.at - SPREAD:
            self._arrivals.popleft()

    def hops(self) -> tuple[float, float] | None:
        """Requests at front and at middle for each request of a user; None while too few were sent."""
        if not self._arrivals:
            return None
        first, last = self._arrivals[0], self._arrivals[-1]
        users = last.users - first.users
        return None if users < ENOUGH else ((last.front - first.front) / users, (last.middle - first.middle) / users)

    def view(self, summary: Summary | None) -> View:
        """All of it, ready to draw."""
        foreseen, hops = predicted(self.settings), self.hops()
        front, middle = hops if hops is not None else (None, None)
        known = not self.settings.unlike
        bars = (
            Bar("user", 1.0 if hops is not None else None, 1.0),
            Bar("front", front, foreseen.front if known else None),
            Bar("middle", middle, foreseen.middle if known else None),
        )
        return View(self._trail.view(), tries(self.settings, summary), bars)


def _failed(summary: Summary) -> dict[str, int]:
    return {"failed": summary.n - _good(summary)}


def tries(settings: Retrying, summary: Summary | None) -> tuple[Bar, ...]:
    """How many tries requests took at the gateway, in per cent, beside the formula's."""
    inner = 1.0 - retries.success(settings.fault / 100, settings.first)
    foreseen = {} if settings.unlike else retries.last_tries(inner, settings.gateway)
    observed = {} if summary is None else {int(label): count for label, count in summary.versions.items() if label.isdigit()}
    n = sum(observed.values())
    return tuple(
        Bar(str(number), 100.0 * observed.get(number, 0) / n if n else None, 100.0 * foreseen[number] if number in foreseen else None)
        for number in range(1, MOST + 2)
    )
