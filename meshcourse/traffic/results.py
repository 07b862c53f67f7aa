"""What became of one request, and what became of all of them.

Times are seconds since the epoch, taken from a monotonic clock that was set once when the run began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Labeller: TypeAlias = Callable[[int, Mapping[str, str], bytes], str]
"""(status, headers, body) -> the version that answered, or "" when it does not say. `measure.labels` has the usual ones."""

LATE: Final = 0.010
"""Seconds after its slot from which on a request counts as late. Timers of the event loop are good to about 1 ms."""

REFUSED, RESET, TIMEOUT, UNRESOLVED, NOT_HTTP, FAILED = "refused", "reset", "timeout", "unresolved", "not HTTP", "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """One request. `status` is 0 and `fault` says why when no answer came; `latency` is in seconds and counts from `intended`.

    Counting from the intended time keeps the waiting in: a request that left late because the ones before were slow was slow for
    its user too (what load testers call coordinated omission is leaving that out).
    """

    intended: float
    started: float
    latency: float
    status: int
    version: str = ""
    fault: str = ""
    error: str = ""
    size: int = 0

    @property
    def ended(self) -> float:
        """When the last byte came, or the fault."""
        return self.intended + self.latency

    @property
    def delay(self) -> float:
        """Seconds between the intended and the real start."""
        return self.started - self.intended

    @property
    def service_time(self) -> float:
        """Seconds from the real start to the end: the latency without our own delay."""
        return self.latency - self.delay

    @property
    def ok(self) -> bool:
        """Whether an answer below 400 came whole."""
        return 0 < self.status < 400 and not self.fault  # noqa: PLR2004 - HTTP's errors begin at 400

    @property
    def code(self) -> str:
        """`200`, `503`, ... or the fault: `refused`, `reset`, `timeout`, `unresolved`, `not HTTP`, `failed`."""
        return self.fault or str(self.status)


@dataclass(frozen=True)
class Counts:
    """A run at one moment: requests begun, answered, failed (no answer), late (left over 10 ms after their slot), dropped (never sent)."""

    begun: int = 0
    answered: int = 0
    failed: int = 0
    late: int = 0
    dropped: int = 0

    @property
    def in_flight(self) -> int:
        """Begun and not ended. After a cancelled run: those that were cut off."""
        return self.begun - self.answered - self.failed


def unlabelled(status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001 - a Labeller
    """The labeller for a target without versions."""
    return ""
