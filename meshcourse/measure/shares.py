"""The confidence band of an observed share.

Checks use the exact bound in `measure.binomial` instead, for its lower rate of false alarms. Source: E. B. Wilson, "Probable inference",
JASA 22 (1927), pp. 209-212.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist


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


def of(count: int, n: int, *, confidence: float = 0.95) -> Share:
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
