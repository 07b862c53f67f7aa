"""The timeout panel: how long a server takes, how long each hop waits, and where the time of one request goes.

`{seconds}` in the page's URL stands for the delay that the server is asked for; `limits` are in the order of the request's way, the first
hop's first. For code: `set_delay`, `set_timeout`, `send`, `start`, `stop`, `wait_journey`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import request_hops as travel
from meshcourse.measure.request_hops import Journey, Place
from meshcourse.mesh import propagation
from meshcourse.mesh.rules import timeouts
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.targets import Target
from meshcourse.widgets.figures import timeout as picture
from meshcourse.widgets.panels import parts, timeout_controls
from meshcourse.widgets.panels.panel import PATIENCE, Panel
from meshcourse.widgets.panels.timeout_controls import Controls

LATE: Final = 6.0
"""Seconds after a request's end in which its hops may still appear in the logs."""
PAUSE: Final = 1.0
PUSH: Final = 5.0
"""Seconds within which the Envoys hold a timeout."""
KEPT: Final = 60
LONGEST: Final = 60.0


@dataclass(frozen=True)
class Limit:
    """A timeout that a slider moves: its VirtualService, and the slider's label."""

    virtual_service: str
    text: str


@dataclass(frozen=True)
class Snapshot:
    """A panel at one moment. `timeouts` are what the API server holds, by VirtualService; 0: none."""

    delay: float
    timeouts: Mapping[str, float]
    running: bool
    journeys: tuple[Journey, ...]
    error: str


class TimeoutPanel(Panel[Controls, Snapshot]):
    """A live panel for a request's way."""

    every: ClassVar[float] = 0.4

    def __init__(  # noqa: PLR0913 - each is a choice of the chapter
        self,
        connection: Connection,
        *,
        namespace: str,
        url: str,
        host: str,
        places: tuple[Place, ...],
        limits: tuple[Limit, ...],
        worker: str = "the server itself",
        delay: float = 2.0,
    ) -> None:
        super().__init__(str(connection.kubeconfig), namespace, host)
        self._connection, self._namespace, self._url, self._host = connection, namespace, url, host
        self._places, self._limits, self._worker, self._delay = places, limits, worker, delay
        self._timeouts = self._setting(read=self._read, write=self._write, show=self._show)
        self._journeys: list[Journey] = []
        self._marks: dict[int, tuple[str, float]] = {}
        self._sent = 0
        self._settled = False
        self._sending: asyncio.Task[None] | None = None

    # -- for notebooks and tests --------------------------------------------------------------------------------------------------------

    def set_delay(self, seconds: float) -> None:
        """Have the server take so long, from the next request on."""
        self.widgets.delay.value = seconds

    def set_timeout(self, virtual_service: str, seconds: float) -> float:
        """Set a timeout (0: none), wait until the API server holds it, and return that. Raises KubernetesError when it is refused."""
        self.open()
        wanted = {**self._timeouts.held, virtual_service: seconds}
        return self._wait(self._timeouts.set(wanted), within=4 * PATIENCE)[virtual_service]

    def send(self) -> Journey:
        """Send one request and wait for its answer; its hops come when the proxies have written their logs (`wait_journey`)."""
        return self._wait(self._send(), within=LONGEST + PATIENCE)

    def start(self) -> None:
        """Send one request after the other until `stop`."""
        self._wait(self._begin())

    def stop(self) -> None:
        """Stop sending."""
        self._wait(self._end_sending())

    def wait_journey(self, number: int = 0, *, within: float = 15.0) -> Journey:
        """Wait until all hops of a request are known (of the newest without a number), and return it. Raises PanelError otherwise."""

        def meant(now: Snapshot) -> Journey | None:
            return next((each for each in reversed(now.journeys) if each.number == number or not number), None)

        def why(now: Snapshot) -> str:
            found = meant(now)
            seen = "no request was sent" if found is None else ", ".join(hop.place.name for hop in found.hops) or "nobody yet"
            return f"logged by: {seen}; {now.error or 'no error was shown'}"

        return self._until(
            lambda now: found if (found := meant(now)) is not None and len(found.hops) == len(self._places) else None,
            within,
            what="The hops of the request are not known",
            why=why,
            next="panel.send()",
        )

    @property
    def running(self) -> bool:
        """Whether it keeps sending."""
        return self._sending is not None and not self._sending.done()

    # -- required by Panel ---------------------------------------------------------------------------------------------------------------

    def _build(self) -> Controls:
        held = self._timeouts.load()
        built = timeout_controls.build(
            self._delay,
            [(limit.text, held[limit.virtual_service]) for limit in self._limits],
            title=f"{self._host}: how long it takes, and how long each hop waits",
            figure=picture.figure((), self._places, self._worker),
        )
        for limit, slider in zip(self._limits, built.timeouts, strict=True):
            slider.observe(lambda change, name=limit.virtual_service: self._moved(name, float(change["new"])), names="value")
        built.delay.observe(lambda change: self._ask(float(change["new"])), names="value")
        built.send.on_click(lambda _: self._later(self._send()))
        built.repeat.observe(lambda change: self._toggled(bool(change["new"])), names="value")
        return built

    async def _leave(self) -> None:
        await self._end_sending()

    async def _beat(self) -> None:
        if self._marks:
            await self._look()

    # -- sending -----------------------------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait until every Envoy holds the timeouts on the sliders: an earlier request would meet others."""
        await self._timeouts.idle()
        if not self._settled:
            self._settled = True
            self.widgets.words.value = "Waiting until the Envoys hold these timeouts …"
            await asyncio.to_thread(propagation.wait, self._connection, self._namespace, timeout=PUSH)

    async def _send(self) -> Journey:
        await self._settle()
        self._sent += 1
        number, mark, asked = self._sent, f"meshcourse-journey/{secrets.token_hex(6)}", self._delay
        limits = tuple(self._timeouts.held[limit.virtual_service] for limit in self._limits)
        target = Target(self._url.format(seconds=f"{asked:g}"), headers={"User-Agent": mark}, host=self._host, timeout=LONGEST)
        (result,) = await sender.send(target, pacing.closed(requests=1), in_flight=1)
        journey = Journey(number, asked, limits, result.status, result.latency)
        self._journeys = [*self._journeys, journey][-KEPT:]
        self._marks[number] = (mark, time.monotonic())
        self._marks.pop(number - KEPT, None)  # its journey is no longer shown
        unanswered = errors.TrafficError("No answer came.", why=result.error, next="lab.wait()") if result.fault else None
        self._complain(unanswered, of="the last request")
        await asyncio.to_thread(self._draw)
        return journey

    async def _begin(self) -> None:
        if not self.running:
            self._sending = asyncio.create_task(self._shown(self._send_on()))
            self._show_repeat(running=True)

    async def _send_on(self) -> None:
        try:
            while True:
                await self._send()
                await asyncio.sleep(PAUSE)
        finally:
            self._show_repeat(running=False)

    async def _end_sending(self) -> None:
        await self._end(self._sending)
        self._show_repeat(running=False)

    async def _look(self) -> None:
        """Read the logs for the hops of all journeys that lack some."""
        now = time.monotonic()
        oldest = min(ended for _, ended in self._marks.values())
        logged = await asyncio.to_thread(
            travel.read, self._connection, self._places, seconds=math.ceil(now - oldest + timeout_controls.MOST + 2)
        )
        changed = False
        for journey, (mark, ended) in self._pending():
            found = travel.hops(mark, logged)
            if len(found) > len(journey.hops):
                self._journeys[self._journeys.index(journey)] = replace(journey, hops=found)
                changed = True
            if len(found) == len(self._places) or now - ended > LATE:
                del self._marks[journey.number]
        if changed:
            await asyncio.to_thread(self._draw)

    def _pending(self) -> tuple[tuple[Journey, tuple[str, float]], ...]:
        return tuple((journey, self._marks[journey.number]) for journey in self._journeys if journey.number in self._marks)

    # -- timeouts ----------------------------------------------------------------------------------------------------------------------

    def _ask(self, seconds: float) -> None:
        self._delay = seconds

    def _moved(self, virtual_service: str, seconds: float) -> None:
        if self._by_hand():
            self._timeouts.offer({**self._timeouts.wish, virtual_service: round(seconds, 3)})

    def _toggled(self, on: bool) -> None:  # noqa: FBT001 - a switch
        if self._by_hand():
            self._later(self._begin() if on else self._end_sending())

    def _read(self) -> dict[str, float]:
        return {limit.virtual_service: timeouts.read(self._connection, self._namespace, limit.virtual_service) for limit in self._limits}

    def _write(self, held: dict[str, float], wanted: dict[str, float]) -> dict[str, float]:
        changed = {name: seconds for name, seconds in wanted.items() if held.get(name) != seconds}
        return held | {name: timeouts.write(self._connection, self._namespace, name, seconds) for name, seconds in changed.items()}

    def _show(self, held: dict[str, float]) -> None:
        self._settled = False
        timeout_controls.show(self.widgets, [held[limit.virtual_service] for limit in self._limits])

    # -- showing -----------------------------------------------------------------------------------------------------------------------

    async def _snapshot(self) -> Snapshot:
        return Snapshot(self._delay, dict(self._timeouts.held), self.running, tuple(self._journeys), self._error)

    def _draw(self) -> None:
        if self._controls is not None and self._journeys:
            shown = tuple(self._journeys)
            picture.update(self._controls.figure, shown, self._places, self._worker)
            self._controls.words.value = picture.verdict(shown[-1])
            self._controls.alt.value = parts.aloud(picture.describe(shown))

    def _show_repeat(self, *, running: bool) -> None:
        if self._controls is not None:
            with self._quietly():
                self._controls.repeat.value = running
