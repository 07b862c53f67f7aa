"""The load client: sends requests to a Target at a Pacing and passes on one Result per request.

Leaving the context closes every socket; cancelling `run` ends it at once.

One worker at a time waits for the clock and takes the next slot when it is due, so a new rate of a Dial applies to the next request. While
all workers wait for answers, slots are missed: they are sent late, or dropped after `patience` seconds. Both are counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

import aiohttp

from meshcourse.core import errors
from meshcourse.traffic import results, transport_errors
from meshcourse.traffic.pacing import Crowd, Pacing
from meshcourse.traffic.results import Counts, Labeller, Result
from meshcourse.traffic.targets import Target

Receive = Callable[[Result], None]
BREATH: Final = 0.05
"""Seconds that a closed loop waits after a request that failed: an unreachable target must not cause a busy loop.

Also the interval at which a user above the crowd's present size checks whether it has grown.
"""


class Sender:
    """A load client for one target. One `run` at a time."""

    def __init__(self, target: Target, *, label: Labeller = results.unlabelled, in_flight: int = 64, patience: float = 5.0) -> None:
        if in_flight < 1:
            raise errors.TrafficError(
                "At least one request must be allowed in flight.", why=f"in_flight = {in_flight}", next="give in_flight=64, for example"
            )
        self.target = target
        self._label = label
        self._in_flight = in_flight
        self._patience = patience
        self._url = target.as_sent()
        self._session: aiohttp.ClientSession | None = None
        self._begun = self._answered = self._failed = self._late = self._dropped = 0
        self._epoch = 0.0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._in_flight, limit_per_host=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self.target.sent_headers(),
            timeout=aiohttp.ClientTimeout(total=self.target.timeout),
            auto_decompress=False,
        )
        self._epoch = time.time() - time.monotonic()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @property
    def counts(self) -> Counts:
        """What has been sent so far, over all runs of this sender."""
        return Counts(self._begun, self._answered, self._failed, self._late, self._dropped)

    async def run(self, pacing: Pacing, receive: Receive) -> Counts:
        """Send until `pacing` ends, or this is cancelled; every Result goes to `receive`, whose exceptions end the run.

        Raises TrafficError when the sender has not been entered.
        """
        if self._session is None:
            raise errors.TrafficError(
                "This sender is not open.", why="its sockets live in an async context", next="async with Sender(target) as sender: ..."
            )
        slots, start = pacing.offsets(), time.monotonic()
        if isinstance(pacing, Crowd):
            work = [self._user(self._session, number, pacing, receive) for number in range(min(pacing.most, self._in_flight))]
        elif pacing.closed_loop:
            ends = start + (getattr(pacing, "seconds", None) or float("inf"))
            work = [self._fast(self._session, slots, ends, receive) for _ in range(self._in_flight)]
        else:
            clock = asyncio.Lock()
            work = [self._paced(self._session, slots, start, clock, receive) for _ in range(self._in_flight)]
        workers = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return self.counts

    async def _paced(
        self, session: aiohttp.ClientSession, slots: Iterator[float], start: float, clock: asyncio.Lock, receive: Receive
    ) -> None:
        """Open loop: wait for the next slot, send, pass on the result, repeat."""
        while True:
            async with clock:
                intended = await self._next_slot(slots, start)
            if intended is None:
                return
            receive(await self._send(session, intended, time.monotonic()))

    async def _next_slot(self, slots: Iterator[float], start: float) -> float | None:
        """The intended time of the next slot, as soon as it is due; None after the last one."""
        for offset in slots:
            intended = start + offset
            ahead = intended - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            elif -ahead > self._patience:
                self._dropped += 1
                continue
            return intended
        return None

    async def _fast(self, session: aiohttp.ClientSession, slots: Iterator[float], ends: float, receive: Receive) -> None:
        """Closed loop: each answer starts the next request, until the slots or the time end."""
        for _ in slots:
            now = time.monotonic()
            if now >= ends:
                return
            result = await self._send(session, now, now)
            receive(result)
            if result.fault:
                await asyncio.sleep(BREATH)

    async def _user(self, session: aiohttp.ClientSession, number: int, crowd: Crowd, receive: Receive) -> None:
        """One user of a crowd; they start one after the other, so that they do not all send at the same moment."""
        await asyncio.sleep(crowd.pause * number / crowd.most)
        while True:
            if number >= crowd.users:
                await asyncio.sleep(BREATH)
                continue
            now = time.monotonic()
            receive(await self._send(session, now, now))
            await asyncio.sleep(crowd.pause)

    async def _send(self, session: aiohttp.ClientSession, intended: float, started: float) -> Result:
        """Send one request. Failures of the network or the target are in the Result; they are not raised."""
        self._begun += 1
        if started - intended > results.LATE:
            self._late += 1
        try:
            async with session.request(self.target.method, self._url, allow_redirects=False) as response:
                body = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            latency = time.monotonic() - intended
            self._failed += 1
            fault, words = transport_errors.explain(error, self.target)
            return Result(self._epoch + intended, self._epoch + started, latency, 0, fault=fault, error=words)
        latency = time.monotonic() - intended
        self._answered += 1
        version = self._label(response.status, response.headers, body)
        return Result(self._epoch + intended, self._epoch + started, latency, response.status, version, size=len(body))


async def send(target: Target, pacing: Pacing, *, label: Labeller = results.unlabelled, in_flight: int = 64) -> tuple[Result, ...]:
    """Send all of `pacing` and return every Result, in the order of their ends. For loads that end."""
    found: list[Result] = []
    async with Sender(target, label=label, in_flight=in_flight) as sender:
        await sender.run(pacing, found.append)
    return tuple(found)
