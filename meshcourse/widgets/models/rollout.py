"""An automatic canary as rules: how far to go, how long to watch, and when to go back.

It goes back on evidence only: the failing share's whole 95 % band must lie above what is allowed, on two failures or more, so that one
unlucky request ends nothing; and it goes on only after enough requests, so that silence promotes nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from meshcourse.measure import shares
from meshcourse.measure.shares import Share
from meshcourse.measure.windows import Summary

PATIENCE: Final = 10
"""How many times a step's watch may pass before too few requests are a reason to go back."""


class Verdict(enum.Enum):
    """What to do after a look."""

    WATCH = "watching"
    PROMOTE = "promoted"
    ROLL_BACK = "rolled back"


@dataclass(frozen=True)
class Plan:
    """Weights of the new version in per cent, seconds of watching, and what users may expect meanwhile."""

    steps: tuple[int, ...] = (10, 25, 50, 100)
    watch: float = 4.0
    enough: int = 100
    """Requests in a step's last `watch` seconds below which nothing is decided."""
    failing: float = 0.01
    latency: float = 0.5
    """Seconds that 95 % of the answers may take."""


@dataclass(frozen=True)
class Step:
    """One weight, what was seen at it, and what came of it."""

    weight: int
    verdict: Verdict
    why: str
    failed: Share
    latency: float | None


def judged(plan: Plan, weight: int, summary: Summary, seconds: float) -> Step:
    """Look at a step that has run for `seconds`."""
    failed = shares.of(sum(summary.errors().values()), summary.n)
    latency = summary.latency.p95
    verdict, why = _verdict(plan, failed, latency, seconds)
    return Step(weight, verdict, why, failed, latency)


def _verdict(plan: Plan, failed: Share, latency: float | None, seconds: float) -> tuple[Verdict, str]:
    if failed.count > 1 and failed.low > plan.failing:  # of a dozen requests one alone would do
        return Verdict.ROLL_BACK, f"more than {100 * plan.failing:g} % fail (95 % band {100 * failed.low:.1f} to {100 * failed.high:.1f} %)"
    # What is not clear yet may become so; for ever is too long.
    undecided = Verdict.ROLL_BACK if seconds > PATIENCE * plan.watch else Verdict.WATCH
    if failed.n < plan.enough:
        return undecided, f"{failed.n} of {plan.enough} requests in {plan.watch:g} s"
    if seconds < plan.watch:
        return Verdict.WATCH, f"{seconds:.0f} of {plan.watch:g} s"
    if latency is None or latency > plan.latency:
        return Verdict.ROLL_BACK, f"95 % of the answers take up to {_milliseconds(latency)}, not {_milliseconds(plan.latency)}"
    if failed.share > plan.failing:
        return undecided, "some fail, and it is not sure how many"
    return Verdict.PROMOTE, f"{100 * failed.share:.1f} % fail, 95 % within {_milliseconds(latency)}"


def _milliseconds(seconds: float | None) -> str:
    return "no answer" if seconds is None else f"{1000 * seconds:.0f} ms"
