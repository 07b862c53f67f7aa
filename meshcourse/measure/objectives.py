"""Service-level objectives of a release, and whether traffic meets them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshcourse.measure.windows import Summary, percentile
from meshcourse.traffic.results import Result

SUCCESS, LATENCY, SHARE, LOAD = "success", "latency", "share", "load"
NAMES: Final = (SUCCESS, LATENCY, SHARE, LOAD)
_EDGE: Final = 1e-9
"""Tolerance at the limit, for rounding of floats such as 0.5 - 0.09."""


@dataclass(frozen=True)
class Objectives:
    """What the release must meet over `requests` requests, sent at `rate` per second whether answers come or not.

    At most `failing` of them fail; 95 % of the answers come within `latency` seconds; `version` serves `share` of them, plus or minus
    `slack`; and its pods get at most `tries` requests for each request of a user. Shares are from 0 to 1.
    """

    requests: int = 600
    rate: float = 120.0
    failing: float = 0.01
    latency: float = 0.5
    slow: float = 0.05
    version: str = "v2"
    share: float = 0.5
    slack: float = 0.09
    tries: float = 1.5

    @property
    def seconds(self) -> float:
        """How long that many requests take to send."""
        return self.requests / self.rate


@dataclass(frozen=True)
class Reading:
    """Measured traffic. `tries` is None when unknown, because the version had no request or its pods were not read."""

    n: int = 0
    failed: int = 0
    p95: float | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    tries: float | None = None

    @property
    def success(self) -> float:
        """The share that did not fail."""
        return 1.0 - self.failed / self.n if self.n else 0.0

    def share(self, version: str) -> float | None:
        """The share of `version` among the answers that have a version label."""
        named = sum(count for name, count in self.versions.items() if name)
        return self.versions.get(version, 0) / named if named else None


def of_summary(summary: Summary, tries: float | None) -> Reading:
    """From a moving window."""
    return Reading(summary.n, sum(summary.errors().values()), summary.latency.p95, summary.versions, tries)


def of_results(results: Iterable[Result], arrived: int, version: str) -> Reading:
    """From the results of one run, during which the pods of `version` received `arrived` requests."""
    found = tuple(results)
    versions = Counter(result.version for result in found if result.version)
    latencies = sorted(result.latency for result in found if result.status)
    asked = sum(result.version == version or not result.version for result in found)
    return Reading(
        len(found), sum(not result.ok for result in found), percentile(latencies, 0.95), versions, arrived / asked if asked else None
    )


@dataclass(frozen=True)
class Mark:
    """One objective: `met` is None while it is unknown. `value` is in the unit of the figure: per cent, ms, per cent, times."""

    name: str
    title: str
    met: bool | None
    value: float | None
    seen: str
    wanted: str


def marks(found: Reading, wanted: Objectives) -> tuple[Mark, ...]:
    """One mark for each objective, in the order of NAMES."""
    share = found.share(wanted.version)
    most = 1000 * wanted.latency
    return (
        Mark(
            SUCCESS,
            "success",
            found.failed <= wanted.failing * found.n + _EDGE if found.n else None,
            100 * found.success if found.n else None,
            f"{found.success:.1%} ({found.failed} of {found.n} failed)" if found.n else "no request yet",
            f"at least {1.0 - wanted.failing:.0%}",
        ),
        Mark(
            LATENCY,
            "p95 latency",
            None if found.p95 is None else found.p95 <= wanted.latency,
            None if found.p95 is None else 1000 * found.p95,
            "no answer yet" if found.p95 is None else f"{1000 * found.p95:.0f} ms",
            f"at most {most:.0f} ms",
        ),
        Mark(
            SHARE,
            f"share of {wanted.version}",
            None if share is None else abs(share - wanted.share) <= wanted.slack + _EDGE,
            None if share is None else 100 * share,
            "no answer yet" if share is None else f"{share:.0%}",
            f"{wanted.share:.0%}, plus or minus {100 * wanted.slack:.0f} points",
        ),
        Mark(
            LOAD,
            f"load on {wanted.version}",
            None if found.tries is None else found.tries <= wanted.tries,
            found.tries,
            "not known yet" if found.tries is None else f"{found.tries:.2f} requests for each of a user's",
            f"at most {wanted.tries:g} for each of a user's",
        ),
    )


def met(found: Iterable[Mark]) -> int:
    """How many objectives are met."""
    return sum(mark.met is True for mark in found)
