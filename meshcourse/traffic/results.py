"""The result of one request, and counts over a run.

Times are seconds since the epoch, from a monotonic clock that is set once when the run begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Labeller: TypeAlias = Callable[[int, Mapping[str, str], bytes], str]
"""(status, headers, body) -> the version that answered, or "" when the answer does not name one. `measure.labels` has the usual ones."""

LATE: Final = 0.010
"""A request that leaves more seconds than this after its slot is late. The event loop's timers are accurate to about 1 ms."""

REFUSED, RESET, TIMEOUT, UNRESOLVED, NOT_HTTP, FAILED = "refused", "reset", "timeout", "unresolved", "not HTTP", "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """One request. `status` is 0 when no answer came, and `fault` is the reason; `latency` is in seconds and counts from `intended`.

    Counting from the intended time includes the waiting: a request that left late because earlier ones were slow was slow for its user too
    (load testers call leaving that out "coordinated omission").
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
        """When the last byte or the fault arrived."""
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
        """Whether a complete answer with a status below 400 arrived."""
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
        """Begun and not ended. After a cancelled run: the cancelled ones."""
        return self.begun - self.answered - self.failed


def unlabelled(status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001 - a Labeller
    """The labeller for a target without versions."""
    return ""
