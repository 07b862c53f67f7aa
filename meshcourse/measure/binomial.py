"""Shares of requests: which counts a wanted share allows, how many requests distinguish two, and the confidence band of an observed one.

Envoy draws a random number for every request, so n requests over a weight p are n independent trials. Checks use the exact bounds, for
their lower rate of false alarms; what is shown while it changes uses Wilson's band (E. B. Wilson, "Probable inference", JASA 22 (1927),
pp. 209-212).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

FALSE_ALARM: Final = 1e-4
"""A right answer may be refused once in ten thousand checks, not more often."""
MISSED: Final = 1e-2
"""The nearest wrong answer that matters may pass once in a hundred checks, not more often."""
_STEP: Final = 20


@dataclass(frozen=True)
class Interval:
    """The counts `low` to `high`, both included, that a share of `share` allows among `n` requests."""

    n: int
    share: float
    low: int
    high: int
    false_alarm: float

    def __contains__(self, count: object) -> bool:
        """Whether `count` is within the bounds."""
        return isinstance(count, int) and self.low <= count <= self.high

    def __str__(self) -> str:
        chance = f"chance alone exceeds this at most once in {1 / self.false_alarm:,.0f} times"
        return f"{self.low} to {self.high} of {self.n} (a wanted share of {self.share:.0%}; {chance})"


def log_probability(n: int, p: float, k: int) -> float:
    """The logarithm of the probability of exactly `k` successes in `n` trials of probability `p`; -inf when impossible."""
    if not 0 <= k <= n:
        return -math.inf
    if p in (0.0, 1.0):
        return 0.0 if k == n * p else -math.inf
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(p) + (n - k) * math.log1p(-p)


def probability_between(n: int, p: float, low: int, high: int) -> float:
    """The probability of `low` to `high` successes, both included."""
    return min(1.0, math.fsum(math.exp(log_probability(n, p, k)) for k in range(max(low, 0), min(high, n) + 1)))


def accepted(n: int, share: float, *, false_alarm: float = FALSE_ALARM) -> Interval:
    """The counts to accept for a wanted `share` (0 to 1) of `n` requests.

    Each tail outside has probability at most `false_alarm / 2`, so a right answer is refused with probability `false_alarm` at most. A
    share of 0 accepts only 0, a share of 1 only n. Raises ValueError for an impossible n, share or false alarm.
    """
    if n < 1 or not 0.0 <= share <= 1.0 or not 0.0 < false_alarm < 1.0:
        message = f"need n >= 1, a share from 0 to 1 and a false alarm between them; got n={n}, share={share}, false alarm={false_alarm}"
        raise ValueError(message)
    low = _cut(n, share, false_alarm / 2)
    high = n - _cut(n, 1.0 - share, false_alarm / 2)
    return Interval(n, share, low, high, false_alarm)


def _cut(n: int, p: float, tail: float) -> int:
    """The smallest k such that fewer than k successes happen with probability at most `tail`."""
    below = 0.0
    for k in range(n + 1):
        below += math.exp(log_probability(n, p, k))
        if below > tail:
            return k
    return n


def requests_to_tell(wanted: float, other: float, *, false_alarm: float = FALSE_ALARM, missed: float = 1e-2) -> int:
    """How many requests it takes to distinguish a split of `wanted` from one of `other`.

    The first of 10, 20, 50, 100, 200, 500, ... for which a test that refuses a right split with probability at most `false_alarm` accepts
    the wrong one with probability at most `missed`. Raises ValueError for equal shares.
    """
    if wanted == other:
        message = "no number of requests distinguishes two equal shares"
        raise ValueError(message)
    n, steps = 10, (2.0, 2.5, 2.0)
    for turn in range(24):
        band = accepted(n, wanted, false_alarm=false_alarm)
        if probability_between(n, other, band.low, band.high) <= missed:
            return n
        n = round(n * steps[turn % 3])
    return n


@dataclass(frozen=True)
class Trial:
    """How many requests to send, and which counts to accept: `low` to `high` of `n`, for a right share of `wanted`.

    A right answer falls outside with probability `false_alarm` at most, and the nearest wrong share, `other`, inside with `missed` at most.
    """

    n: int
    low: int
    high: int
    wanted: float
    other: float
    false_alarm: float
    missed: float

    def __contains__(self, count: object) -> bool:
        """Whether `count` of `n` is accepted."""
        return isinstance(count, int) and self.low <= count <= self.high

    def __str__(self) -> str:
        """Both error probabilities, in one sentence."""
        right, wrong = (f"once in {1 / chance:,.0f} checks" for chance in (self.false_alarm, self.missed))
        return (
            f"{self.n:,} requests, {self.low:,} to {self.high:,} are accepted: {_percent(self.wanted)} is refused at most {right}, "
            f"and {_percent(self.other)} passes at most {wrong} (exact binomial bounds)"
        )


@functools.cache
def share_is(wanted: float, other: float, *, false_alarm: float = FALSE_ALARM, missed: float = MISSED) -> Trial:
    """The smallest trial (in steps of 20 requests) for a share of `wanted` against `other`, and against one as far above or below it.

    `wanted` lies between 0 and 1. Raises ValueError for equal shares.
    """
    across = 2 * wanted - other
    n = _about(wanted, other, false_alarm, missed)
    while True:
        band = accepted(n, wanted, false_alarm=false_alarm)
        wrong = max(probability_between(n, each, band.low, band.high) for each in (other, across) if 0.0 <= each <= 1.0)
        if wrong <= missed:
            return Trial(n, band.low, band.high, wanted, other, false_alarm, missed)
        n += _STEP


@functools.cache
def share_at_most(wanted: float, other: float, *, false_alarm: float = FALSE_ALARM, missed: float = MISSED) -> Trial:
    """The smallest trial that accepts any share up to `wanted` and refuses `other`, which must be larger. Raises ValueError otherwise."""
    if not wanted < other:
        message = f"the wrong share must be the larger one; got {wanted} and {other}"
        raise ValueError(message)
    n = _about(wanted, other, 2 * false_alarm, missed)
    while True:
        high = n - _cut(n, 1.0 - wanted, false_alarm)
        if probability_between(n, other, 0, high) <= missed:
            return Trial(n, 0, high, wanted, other, false_alarm, missed)
        n += _STEP


def _about(wanted: float, other: float, false_alarm: float, missed: float) -> int:
    """A number of requests a little below the needed one, by the normal approximation."""
    if wanted == other:
        message = "no number of requests distinguishes two equal shares"
        raise ValueError(message)
    quantile = NormalDist().inv_cdf
    spread = quantile(1 - false_alarm / 2) * math.sqrt(wanted * (1 - wanted)) + quantile(1 - missed) * math.sqrt(other * (1 - other))
    return max(_STEP, round(0.9 * (spread / (other - wanted)) ** 2 / _STEP) * _STEP)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


@dataclass(frozen=True)
class Share:
    """`count` of `n`; `share`, `low` and `high` are fractions from 0 to 1. With n = 0 the share is 0, and the band 0 to 1."""

    count: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The observed fraction."""
        return self.count / self.n if self.n else 0.0

    def __contains__(self, share: object) -> bool:
        """Whether `share` is within the band."""
        return isinstance(share, (int, float)) and self.low <= share <= self.high

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} % (n={self.n})"


def observed(count: int, n: int, *, confidence: float = 0.95) -> Share:
    """The share of `count` in `n` with its Wilson band. Raises ValueError for counts outside 0..n or a confidence outside 0..1."""
    if not 0 <= count <= n or not 0.0 < confidence < 1.0:
        message = f"need 0 <= count <= n and a confidence between 0 and 1; got {count} of {n} at {confidence}"
        raise ValueError(message)
    if n == 0:
        return Share(0, 0, 0.0, 1.0)
    z, p = _quantile(confidence), count / n
    centre = p + z * z / (2 * n)
    width = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if count == 0 else max(0.0, (centre - width) / whole)
    high = 1.0 if count == n else min(1.0, (centre + width) / whole)
    return Share(count, n, low, high)


@functools.cache
def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
