"""The last seconds of traffic: shares per version, latency percentiles, errors by code.

`add` and `advance` cost O(1) on average, since each result is counted once on arrival and once on expiry; `summary` sorts the latencies of
the window.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshcourse.measure import binomial
from meshcourse.measure.binomial import Share
from meshcourse.traffic.results import Result


@dataclass(frozen=True)
class Latency:
    """Percentiles in seconds; None while there is no answer."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Summary:
    """The window at one moment. `versions` counts answers with a version label; `codes` all results (`200`, `503`, `timeout`)."""

    seconds: float
    n: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)

    @property
    def labelled(self) -> int:
        """Answers with a version label: the n of every share."""
        return sum(self.versions.values())

    @property
    def rate(self) -> float:
        """Results per second."""
        return self.n / self.seconds

    def share(self, version: str) -> Share:
        """The share of `version` among the answers with a version label."""
        return binomial.observed(self.versions.get(version, 0), self.labelled)

    def errors(self) -> dict[str, int]:
        """The codes that are errors: 4xx, 5xx and faults."""
        return {code: count for code, count in self.codes.items() if kind_of(code) in {"4xx", "5xx", "no answer"}}

    def part(self, kind: str) -> float:
        """The fraction of results whose code is of `kind`: `4xx`, `5xx` or `no answer`."""
        count = sum(number for code, number in self.codes.items() if kind_of(code) == kind)
        return count / self.n if self.n else 0.0


def kind_of(code: str) -> str:
    """`2xx` ... `5xx` for a status, `no answer` for a fault."""
    return f"{code[0]}xx" if code.isdigit() else "no answer"


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values: the smallest that at least `share` of them do not exceed. None for no values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


class Window:
    """A moving window of `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._results: deque[tuple[float, Result]] = deque()
        self._versions: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: Result, *, at: float) -> None:
        """Add a result that ended at `at`."""
        self._results.append((at, result))
        self._codes[result.code] += 1
        if result.version:
            self._versions[result.version] += 1

    def advance(self, now: float) -> None:
        """Drop results that are `seconds` old or older."""
        while self._results and self._results[0][0] <= now - self.seconds:
            _, result = self._results.popleft()
            _less(self._codes, result.code)
            if result.version:
                _less(self._versions, result.version)

    def clear(self) -> None:
        """Drop all results."""
        self._results.clear()
        self._codes.clear()
        self._versions.clear()

    def summary(self, now: float) -> Summary:
        """The window that ends now."""
        self.advance(now)
        latencies = sorted(result.latency for _, result in self._results if result.status)
        latency = Latency(percentile(latencies, 0.50), percentile(latencies, 0.95), percentile(latencies, 0.99))
        return Summary(self.seconds, len(self._results), dict(self._versions), dict(self._codes), latency)


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
