"""When requests are due: constant rates, closed loops and crowds of users."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from meshcourse.core import errors


class Pacing(Protocol):
    """A shape of load. With `closed_loop` the sender sends after each answer, not by the clock."""

    closed_loop: ClassVar[bool]

    def offsets(self) -> Iterator[float]:
        """Seconds from the start, in ascending order. Read lazily: the next one is taken when the one before is due."""

    def describe(self) -> dict[str, Any]:
        """The shape as JSON."""


class _Described:
    """JSON for the frozen shapes: their class and their fields."""

    def describe(self) -> dict[str, Any]:
        """The shape as JSON, for a recording's first line."""
        return {"shape": type(self).__name__.lower(), **dataclasses.asdict(self)}  # type: ignore[call-overload] # every subclass is a dataclass


@dataclass(frozen=True)
class Constant(_Described):
    """`rate` requests per second, `requests` of them (None: until cancelled)."""

    rate: float
    requests: int | None
    closed_loop: ClassVar[bool] = False

    def offsets(self) -> Iterator[float]:
        """Every 1/rate seconds."""
        counter = itertools.count() if self.requests is None else range(self.requests)
        return (k / self.rate for k in counter)


@dataclass(frozen=True)
class Closed(_Described):
    """As fast as the answers come: `requests` in all, or for `seconds`, whichever comes first."""

    requests: int | None
    seconds: float | None
    closed_loop: ClassVar[bool] = True

    def offsets(self) -> Iterator[float]:
        """Always due at once; the sender replaces each by its real start."""
        return itertools.repeat(0.0) if self.requests is None else itertools.repeat(0.0, self.requests)


class Crowd:
    """`users` who each send, wait for the answer, wait `pause` seconds and send again. Their number can change while load runs."""

    closed_loop: ClassVar[bool] = True

    def __init__(self, users: int, *, pause: float, most: int = 32) -> None:
        _positive(pause=pause)
        self.pause, self.most = pause, most
        self.users = 0
        self.turn(users)

    def turn(self, users: int) -> None:
        """Continue with `users` users, at most `most`: the sender keeps that many connections."""
        if not 0 <= users <= self.most:
            raise errors.TrafficError(
                f"There cannot be {users} users.", why=f"this crowd may have 0 to {self.most} users", next="give a number in that range"
            )
        self.users = users

    def offsets(self) -> Iterator[float]:
        """Always due at once, as in every closed loop."""
        return itertools.repeat(0.0)

    def describe(self) -> dict[str, Any]:
        """The crowd at this moment."""
        return {"shape": "crowd", "users": self.users, "pause": self.pause}


class Dial:
    """A rate that can change while load runs. A new rate applies from the next request on."""

    closed_loop: ClassVar[bool] = False

    def __init__(self, rate: float) -> None:
        _positive(rate=rate)
        self.rate = rate

    def turn(self, rate: float) -> None:
        """Continue with `rate` requests per second."""
        _positive(rate=rate)
        self.rate = rate

    def offsets(self) -> Iterator[float]:
        """1/rate after the one before, with the current rate."""
        at = 0.0
        while True:
            yield at
            at += 1.0 / self.rate

    def describe(self) -> dict[str, Any]:
        """The rate at this moment."""
        return {"shape": "dial", "rate": self.rate}


def constant(rate: float, *, seconds: float | None = None, requests: int | None = None) -> Constant:
    """`rate` requests per second, evenly spaced, for `seconds` or for `requests`; without either until cancelled."""
    _positive(rate=rate, seconds=seconds, requests=requests)
    if seconds is not None:
        fitting = math.ceil(rate * seconds - 1e-9)
        requests = fitting if requests is None else min(fitting, requests)
    return Constant(rate, requests)


def closed(*, requests: int | None = None, seconds: float | None = None) -> Closed:
    """Closed loop: every connection sends as soon as its answer has come, as fast as the target allows."""
    _positive(seconds=seconds, requests=requests)
    if requests is None and seconds is None:
        raise errors.TrafficError(
            "A closed loop needs an end.", why="it would send forever, as fast as it can", next="pacing.closed(seconds=10)"
        )
    return Closed(requests, seconds)


def _positive(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise errors.TrafficError(f"{name} cannot be {value}.", why=f"{name} must be above 0", next=f"give a {name} above 0")
