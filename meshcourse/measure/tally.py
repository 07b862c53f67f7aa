"""Expected traffic, and whether the answers agree with it.

Pure: nothing is sent here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshcourse.measure import binomial


@dataclass(frozen=True)
class Tally:
    """How `n` requests were answered: by which version, or with which failure (an HTTP status, or the name of an error)."""

    versions: Mapping[str, int]
    failures: Mapping[str, int]

    @property
    def n(self) -> int:
        """All requests sent."""
        return sum(self.versions.values()) + sum(self.failures.values())

    @property
    def answered(self) -> int:
        """Requests that some version answered."""
        return sum(self.versions.values())

    def of(self, version: str) -> int:
        """How many requests `version` answered."""
        return self.versions.get(version, 0)

    def __str__(self) -> str:
        parts = [f"{count} by {version}" for version, count in sorted(self.versions.items())]
        parts += [f"{count} failed with {failure}" for failure, count in sorted(self.failures.items())]
        return f"of {self.n} requests: " + (", ".join(parts) or "none was answered")


def tally(answers: Iterable[tuple[str | None, str]]) -> Tally:
    """Count (version or None, failure) pairs; the failure is read only where the version is None."""
    versions: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for version, failure in answers:
        if version is None:
            failures[failure] += 1
        else:
            versions[version] += 1
    return Tally(versions, failures)


@dataclass(frozen=True)
class Finding:
    """Whether traffic is as wanted, and the text for it."""

    ok: bool
    seen: str
    expected: str
    bound: str


def share(found: Tally, version: str, wanted: float, *, false_alarm: float = binomial.FALSE_ALARM) -> Finding:
    """Whether `version` answers `wanted` (0 to 1) of all requests, none failing, within the bounds of chance."""
    band = binomial.accepted(max(found.n, 1), wanted, false_alarm=false_alarm)
    ok = not found.failures and found.of(version) in band
    expected = f"{version} answers {wanted:.0%}: {_range(band)} of {found.n} requests, and none fails"
    return Finding(ok, str(found), expected, bound(band))


def _range(band: binomial.Interval) -> str:
    return str(band.low) if band.low == band.high else f"{band.low} to {band.high}"


def bound(band: binomial.Interval) -> str:
    """The certainty of the judgement, in one sentence; empty for a share of 0 or 1, which chance does not change."""
    if band.share in (0.0, 1.0):
        return ""
    often = f"at most once in {1 / band.false_alarm:,.0f} checks (exact binomial bound)"
    return f"{band.n} requests; a right split falls outside {band.low} to {band.high} {often}"
