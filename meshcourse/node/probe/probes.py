"""Startup, liveness and readiness probes of one running container.

Counting is kubelet's (pkg/kubelet/prober/worker.go): attempts at initialDelaySeconds and every periodSeconds after it, thresholds of equal
results in a row, startup before the others. One deliberate difference, because a learner waits: until the first success a readiness or
startup probe is also tried *between* those times (at intervals of a tenth of the time waited so far, at least 0.1 s, for 30 s). Such an
early attempt can only make a container ready sooner: its failure is not counted, causes no event and never delays or replaces a counted
attempt.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from meshcourse.node.probe import attempts

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcourse.core.json_types import Json
    from meshcourse.node.events import EventKind

Outcome = attempts.Outcome
check = attempts.check
Purpose = Literal["Startup", "Liveness", "Readiness"]

_FIELDS: dict[Purpose, str] = {"Startup": "startupProbe", "Liveness": "livenessProbe", "Readiness": "readinessProbe"}
_EARLY_SECONDS = 30.0
_EARLY_SHARE = 0.1
_EARLY_LEAST = 0.1
_TRIES_OF_ERRORS = 3


class OnEvent(Protocol):
    """A function that gets an event's type, reason and message."""

    def __call__(self, type_: EventKind, reason: str, message: str, /) -> None:
        """Record it."""


@dataclass(frozen=True)
class Tally:
    """Equal results in a row, against the thresholds; `add` gives the next tally and the verdict, if there is one."""

    success_threshold: int
    failure_threshold: int
    last: bool | None = None
    run: int = 0

    def add(self, *, ok: bool) -> tuple[Tally, bool | None]:
        """Count one result. The verdict is True or False from the threshold on, None below it (the state then stays as it is)."""
        run = self.run + 1 if ok is self.last else 1
        tally = Tally(self.success_threshold, self.failure_threshold, ok, run)
        return tally, ok if run >= (self.success_threshold if ok else self.failure_threshold) else None


@dataclass(frozen=True)
class Moment:
    """When an attempt starts, in seconds after the container's start; an early one must end before the next counted one starts."""

    at: float
    counted: bool
    until: float


def next_moment(now: float, previous: float | None, *, delay: float, period: float, early: bool) -> Moment:
    """The next attempt at `now`. `previous` is when the last counted one was due (None: there was none yet)."""
    if previous is None:
        return Moment(at=max(now, delay), counted=True, until=float("inf"))
    due = previous + period
    if now > due + period:  # an attempt took whole periods: they are skipped, as by Go's ticker
        due += (now - due) // period * period
    waited = now - delay
    at = now + max(_EARLY_LEAST, _EARLY_SHARE * waited)
    if early and waited < _EARLY_SECONDS and at + _EARLY_LEAST <= due:
        return Moment(at=at, counted=False, until=due)
    return Moment(at=max(now, due), counted=True, until=float("inf"))


class Prober:
    """Probes one run of one container. `started` and `ready` are for its status; `failed_probe` is the probe that killed it, if any."""

    def __init__(
        self,
        container: Json,
        *,
        pod_ip: str,
        exec: attempts.Exec,  # noqa: A002 - the probe's own word
        on_change: Callable[[], None],
        on_liveness_failed: Callable[[str], None],
        on_event: OnEvent,
    ) -> None:
        self._container = container
        self._pod_ip = pod_ip
        self._exec = exec
        self._on_change = on_change
        self._on_liveness_failed = on_liveness_failed
        self._on_event = on_event
        self._terminating = False
        self.started = not container.get("startupProbe")
        self._readiness = not container.get("readinessProbe")
        self.failed_probe: Json | None = None

    @property
    def ready(self) -> bool:
        """Started, and its readiness probe (if it has one) succeeds."""
        return self.started and self._readiness

    def terminating(self) -> None:
        """The pod is being deleted: no more restarts; readiness is still followed, as in kubelet."""
        self._terminating = True

    async def run(self) -> None:
        """Probe from now (the container's start) until cancelled, or until nothing is left to probe."""
        start = time.monotonic()
        if not self.started:
            await self._follow("Startup", start)
            if not self.started:
                return  # failed: the container is about to be killed
        async with asyncio.TaskGroup() as group:
            for purpose in ("Liveness", "Readiness"):
                if self._container.get(_FIELDS[purpose]):
                    group.create_task(self._follow(purpose, start), name=f"{purpose.lower()} probe of {self._container['name']}")

    async def _follow(self, purpose: Purpose, start: float) -> None:
        """Attempt one probe repeatedly; Startup and Liveness end with their verdict, Readiness never."""
        probe = self._container[_FIELDS[purpose]]
        tally = Tally(probe.get("successThreshold") or 1, probe.get("failureThreshold") or 3)
        period, delay = float(probe.get("periodSeconds") or 10), float(probe.get("initialDelaySeconds") or 0)
        # With a success threshold above one, successes must be counted a period apart: an early attempt would not help.
        early = purpose != "Liveness" and tally.success_threshold == 1
        previous: float | None = None
        begun = time.monotonic() - start
        delay = max(delay, begun)
        while True:
            moment = next_moment(time.monotonic() - start, previous, delay=delay, period=period, early=early)
            await asyncio.sleep(max(0.0, start + moment.at - time.monotonic()))
            if self._terminating and purpose != "Readiness":
                return
            outcome = await self._attempt(probe, start + moment.until)
            if moment.counted:
                previous = moment.at
                self._report(purpose, outcome)
            if outcome.errored or not (moment.counted or outcome.ok):
                continue
            early = early and not outcome.ok
            tally, verdict = tally.add(ok=outcome.ok)
            if verdict is not None and self._settle(purpose, probe, ok=verdict):
                return

    async def _attempt(self, probe: Json, until: float) -> attempts.Outcome:
        outcome = Outcome(ok=False, message="not tried")
        try:
            async with asyncio.timeout_at(_loop_time(until)):
                for _ in range(_TRIES_OF_ERRORS):
                    outcome = await check(probe, pod_ip=self._pod_ip, container=self._container, exec=self._exec)
                    if not outcome.errored:
                        break
        except TimeoutError:  # an early attempt has overlapped with a counted one
            return Outcome(ok=False, message="cut off")
        return outcome

    def _report(self, purpose: Purpose, outcome: attempts.Outcome) -> None:
        if self._terminating and purpose != "Readiness":
            return
        if outcome.errored:
            self._on_event("Warning", "Unhealthy", f"{purpose} probe errored and resulted in unknown state: {outcome.message}")
        elif not outcome.ok:
            self._on_event("Warning", "Unhealthy", f"{purpose} probe failed: {outcome.message}")
        elif outcome.warning:
            self._on_event("Warning", "ProbeWarning", f"{purpose} probe warning: {outcome.message}")

    def _settle(self, purpose: Purpose, probe: Json, *, ok: bool) -> bool:
        """Apply a verdict; True when this probe has nothing more to do."""
        if purpose == "Readiness":
            if ok != self._readiness:
                self._readiness = ok
                self._on_change()
            return False
        if ok:
            if purpose == "Startup":
                self.started = True
                self._on_change()
            return purpose == "Startup"
        if not self._terminating:
            self.failed_probe = probe
            self._on_liveness_failed(f"Container {self._container['name']} failed {purpose.lower()} probe")
        return True


def _loop_time(moment: float) -> float | None:
    """Convert a time.monotonic() time to the event loop's clock; None for never."""
    return None if moment == float("inf") else asyncio.get_running_loop().time() + moment - time.monotonic()
