"""An automatic canary as rules: its steps, how long to watch each, and when to roll back.

Only the new version's answers are judged: with a weight of 10 %, nine answers in ten are the old version's. It rolls back on evidence only:
the failing share's whole 95 % band must be above the allowed share, with two failures or more, so that one failed request is not enough;
and it continues only after enough requests, so that a version without traffic is not promoted. A failure is a 5xx answer, or none.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from meshcourse.measure import binomial, windows
from meshcourse.measure.binomial import Share
from meshcourse.traffic.results import Result

PATIENCE: Final = 15
"""After this many times a step's watch, too few requests are a reason to roll back."""
_FAILED: Final = 500


class Verdict(enum.Enum):
    """What to do after an evaluation."""

    WATCH = "watching"
    PROMOTE = "promoted"
    ROLL_BACK = "rolled back"


@dataclass(frozen=True)
class Plan:
    """Weights of the new version in per cent, seconds of watching, and what users may expect during it."""

    steps: tuple[int, ...] = (10, 25, 50, 100)
    watch: float = 4.0
    enough: int = 100
    """With fewer answers of the new version nothing is decided."""
    failing: float = 0.01
    latency: float = 0.5
    """Seconds within which 95 % of the answers must come."""


@dataclass(frozen=True)
class Step:
    """One weight, what was observed at it, and the verdict."""

    weight: int
    verdict: Verdict
    why: str
    failed: Share
    latency: float | None


class Evidence:
    """Results of one version while one weight is in force, or longer."""

    def __init__(self, version: str, since: float) -> None:
        """`since` is in seconds since the epoch: what was sent before does not count."""
        self._version, self._since = version, since
        self._failed = self._sent = self._errors = self._others = self._known = 0
        self._asked = False
        self._named: list[float] = []
        self._every: list[float] = []

    def add(self, result: Result) -> None:
        """Add a result of the load."""
        if result.started < self._since:
            return
        if not result.status or result.status >= _FAILED:
            self._failed += 1
        elif result.version == self._version:
            self._named.append(result.latency)
        else:
            self._every.append(result.latency)

    @property
    def failures(self) -> int:
        """How many failures the load has seen so far; the gateway is read after that, so that its counts include all of them."""
        return self._failed

    def sent(self, failures: int, requests: int, errors: int, others: int) -> None:
        """Add what the gateway sent since it was last read: `requests` to the version, `errors` of them failed, `others` of the rest."""
        self._asked, self._known = True, failures
        self._sent += requests
        self._errors += errors
        self._others += others

    @property
    def failed(self) -> Share:
        """The failing share of the version's answers.

        A failure that no endpoint of any version answered counts as the version's too: it has no endpoint, or none that can be reached. All
        failures count where the gateway cannot be read.
        """
        failed = max(0, (self._known if self._asked else self._failed) - self._others)
        unreached = max(0, failed - self._errors)
        return binomial.observed(failed, max(self._sent + unreached, len(self._named) + failed))

    @property
    def latency(self) -> float | None:
        """Seconds within which 95 % of the version's answers came; of all answers, where none names a version."""
        return windows.percentile(sorted(self._named or self._every), 0.95)


def judged(plan: Plan, weight: int, failed: Share, latency: float | None, seconds: float) -> Step:
    """The step after `seconds`, with its verdict."""
    verdict, why = _verdict(plan, failed, latency, seconds)
    return Step(weight, verdict, why, failed, latency)


def _verdict(plan: Plan, failed: Share, latency: float | None, seconds: float) -> tuple[Verdict, str]:
    if failed.count > 1 and failed.low > plan.failing:  # with a dozen requests one failure would be enough
        return Verdict.ROLL_BACK, f"more than {100 * plan.failing:g} % fail (95 % band {100 * failed.low:.1f} to {100 * failed.high:.1f} %)"
    # What is unclear may become clear with time, but not without limit.
    undecided = Verdict.ROLL_BACK if seconds > PATIENCE * plan.watch else Verdict.WATCH
    if failed.n < plan.enough:
        return undecided, f"{failed.n} of {plan.enough} answers of the new version"
    if seconds < plan.watch:
        return Verdict.WATCH, f"{seconds:.0f} of {plan.watch:g} s"
    if latency is None or latency > plan.latency:
        return Verdict.ROLL_BACK, f"95 % of the answers take up to {_milliseconds(latency)}, not {_milliseconds(plan.latency)}"
    if failed.share > plan.failing:
        return undecided, "some fail, and the share is still uncertain"
    return Verdict.PROMOTE, f"{100 * failed.share:.1f} % fail, 95 % within {_milliseconds(latency)}"


def _milliseconds(seconds: float | None) -> str:
    return "no answer" if seconds is None else f"{1000 * seconds:.0f} ms"
