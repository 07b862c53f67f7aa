"""The breaker panel: limits, ejection and load as sliders, beside what callers get and what their Envoy counts."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from meshcourse.core import errors
from meshcourse.kube import replicas, resources
from meshcourse.kube.connection import Connection
from meshcourse.measure.admin import AdminLine
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules import breakers
from meshcourse.mesh.rules.breakers import Breaker
from meshcourse.traffic import pacing
from meshcourse.traffic.results import Counts
from meshcourse.traffic.targets import Target
from meshcourse.widgets.figures import breaker as picture
from meshcourse.widgets.load import Load
from meshcourse.widgets.models import breaker as breaking
from meshcourse.widgets.models.breaker import Standing, Tick, Trail
from meshcourse.widgets.panels import breaker_controls, controls
from meshcourse.widgets.panels.breaker_controls import Controls, Widget
from meshcourse.widgets.panels.panel import FOLLOW, PATIENCE, Panel

REST: Final = 0.05
"""Seconds that a caller rests after each answer."""
WINDOW: Final = 2.0
_SIGNS: Final = ((b"overflow", breaking.REFUSED), (b"no healthy upstream", breaking.NOBODY), (b"broken", breaking.BROKEN))


def kind(status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001 - a Labeller
    """What became of a request, by its answer: Envoy says *overflow* or *no healthy upstream*, the failing replica *broken*."""
    if status < 400:  # noqa: PLR2004 - HTTP's errors begin at 400
        return breaking.ANSWERED
    return next((name for sign, name in _SIGNS if sign in body), "")


@dataclass(frozen=True)
class Snapshot:
    """A panel at one moment. `counters` are Envoy's, by short name; `breaker` is what the API server holds."""

    breaker: Breaker
    failing: bool
    running: bool
    callers: int
    counts: Counts
    summary: Summary
    counters: Mapping[str, int]
    standings: tuple[Standing, ...]
    error: str


class BreakerPanel(Panel):
    """A live panel over one DestinationRule and the Envoy that keeps it."""

    every: ClassVar[float] = 0.5

    def __init__(  # noqa: PLR0913 - each is a choice of the chapter
        self,
        connection: Connection,
        *,
        namespace: str,
        rule: str,
        cluster: str,
        caller: str,
        url: str,
        host: str,
        failing: str,
        callers: int = 3,
    ) -> None:
        super().__init__(str(connection.kubeconfig), namespace, rule)
        self._connection, self._namespace, self._rule, self._cluster, self._faulty = connection, namespace, rule, cluster, failing
        self._crowd = pacing.Crowd(callers, pause=REST, most=breaker_controls.MOST_CALLERS)
        self._load = Load(Target(url, host=host), kind, window=WINDOW, changed=self._show_running, failed=self._complain, shape=self._crowd)
        self._line = AdminLine(connection, namespace, caller)
        self._held = Breaker()
        self._failing: bool | None = None
        self._counters: dict[str, int] = {}
        self._standings: tuple[Standing, ...] = ()
        self._names: dict[str, str] = {}
        self._drawn = 0.0
        self._trail = Trail()
        self._controls: Controls | None = None

    @property
    def widgets(self) -> Controls:
        """The widgets, built if need be."""
        self.open()
        if self._controls is None:
            raise AssertionError
        return self._controls

    # -- what a notebook or a test calls -----------------------------------------------------------------------------------------------

    def set_breaker(self, **fields: int) -> Breaker:
        """Change fields of the rule (`connections=1, waiting=1, errors=3, seconds=30, floor=50`) and return what the API server holds.

        Raises KubernetesError when it is refused, which the panel shows too.
        """
        self.open()
        return self._wait(self._set(dataclasses.replace(self._held, **fields)), within=4 * PATIENCE)

    def set_callers(self, users: int) -> None:
        """Let so many callers send at once."""
        self.widgets.callers.value = users

    def set_failing(self, failing: bool) -> None:  # noqa: FBT001 - a switch
        """Bring in the failing replica, or take it out, and wait until the API server has that on record."""
        self.open()
        self._wait(self._fail(failing), within=4 * PATIENCE)

    def start(self, callers: int | None = None) -> None:
        """Let the callers send until `stop`."""
        if callers is not None:
            self.set_callers(callers)
        self._wait(self._load.start())

    def stop(self) -> None:
        """End the load and wait until its sockets are closed."""
        self._wait(self._load.stop())

    def snapshot(self) -> Snapshot:
        """The panel now."""
        return self._wait(self._snapshot())

    @property
    def running(self) -> bool:
        """Whether load is being sent."""
        return self._load.running

    def wait_seen(self, wanted: str, *, at_least: int = 5, within: float = 15.0) -> int:
        """Wait until the window holds `at_least` answers of a kind (`answered`, `over the limit`, `nobody left`, ...); how many it holds.

        Raises PanelError when that has not come about within `within` seconds.
        """
        ends = time.monotonic() + within
        while True:
            found = self.snapshot().summary
            if found.versions.get(wanted, 0) >= at_least:
                return found.versions[wanted]
            if time.monotonic() > ends:
                why = f"the last {found.seconds:g} s brought {dict(found.versions) or 'nothing'}; {self._error or 'no error was shown'}"
                following = "panel.snapshot()" if self.running else "panel.start()    # no load is running"
                raise errors.PanelError(f"No {at_least} requests were {wanted!r} within {within:g} s.", why=why, next=following)
            time.sleep(0.05)

    def wait_ejected(self, *, number: int = 1, within: float = 15.0) -> tuple[Standing, ...]:
        """Wait until exactly `number` endpoints are put out, and return those. Raises PanelError when that does not come about."""
        ends = time.monotonic() + within
        while True:
            now = self.snapshot()
            out = tuple(each for each in now.standings if each.endpoint.ejected)
            if len(out) == number and now.standings:
                return out
            if time.monotonic() > ends:
                states = ", ".join(f"{each.name} {'out' if each.endpoint.ejected else 'in'}" for each in now.standings)
                raise errors.PanelError(
                    f"{len(out)} endpoints, not {number}, were put out within {within:g} s.",
                    why=states or self._error or "Envoy knows no endpoint",
                    next="panel.snapshot()",
                )
            time.sleep(0.05)

    # -- what the base asks for --------------------------------------------------------------------------------------------------------

    def _build(self) -> tuple[Widget, Widget]:
        self._held = breakers.read(self._connection, self._namespace, self._rule)
        wanted = replicas.read(self._connection, self._namespace, self._faulty)
        self._failing = None if wanted is None else wanted > 0
        built = breaker_controls.build(
            self._held,
            failing=self._failing,
            callers=self._crowd.users,
            title=f"DestinationRule {self._rule} in {self._namespace}, kept by the Envoy beside the caller",
            view=self._trail.view(),
        )
        self._controls = built
        for slider in built.sliders.values():
            slider.observe(lambda _: self._moved(), names="value")
        built.callers.observe(lambda change: self._crowd.turn(int(change["new"])), names="value")
        built.failing.observe(lambda change: self._switched(bool(change["new"])), names="value")
        built.start.on_click(lambda _: self._later(self._load.start()))
        built.stop.on_click(lambda _: self._later(self._load.stop()))
        return built.box, built.error

    def _inputs(self) -> tuple[Widget, ...]:
        return self.widgets.inputs() if self._controls is None else self._controls.inputs()

    async def _leave(self) -> None:
        await self._load.stop()
        await asyncio.to_thread(self._line.close)

    async def _beat(self) -> None:
        now = time.monotonic()
        if not self._load.fresh and now - self._drawn < FOLLOW:
            return
        self._drawn = now
        await self._shown(asyncio.to_thread(self._ask_envoy), of="the proxy")
        found = await self._snapshot()
        self._trail.add(Tick(self._now(), found.summary if found.running else None, found.counters, found.standings))
        await asyncio.to_thread(self._draw, found)

    # -- changes -----------------------------------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        wanted = None if self._controls is None else self._controls.breaker()
        if wanted is not None and self._by_hand():
            self._latest.offer(wanted)

    def _switched(self, failing: bool) -> None:  # noqa: FBT001 - a switch
        if self._by_hand():
            self._later(self._fail(failing))

    async def _write(self, wanted: Breaker) -> None:
        await self._shown(self._set(wanted))

    async def _set(self, wanted: Breaker) -> Breaker:
        try:
            held = await asyncio.to_thread(breakers.write, self._connection, self._namespace, self._rule, wanted)
        except errors.MeshcourseError as error:
            self._complain(error)
            self._show(await asyncio.to_thread(breakers.read, self._connection, self._namespace, self._rule))
            raise
        self._complain(None)
        self._show(held)
        return held

    async def _fail(self, failing: bool) -> None:  # noqa: FBT001 - a switch
        await asyncio.to_thread(replicas.write, self._connection, self._namespace, self._faulty, int(failing))
        self._failing = failing
        self._show(self._held)

    async def _follow(self) -> None:
        before = self._held, self._failing
        held = await asyncio.to_thread(breakers.read, self._connection, self._namespace, self._rule)
        wanted = await asyncio.to_thread(replicas.read, self._connection, self._namespace, self._faulty)
        # What was written while we were reading is newer than what was read.
        if before == (self._held, self._failing) and not self._latest.busy:
            self._failing = None if wanted is None else wanted > 0
            self._show(held)

    def _show(self, held: Breaker) -> None:
        """Let the sliders show what the mesh holds, unless a newer wish waits."""
        self._held = held
        if self._controls is None or self._latest.waiting:
            return
        with self._quietly():
            for name, slider in self._controls.sliders.items():
                slider.value = min(getattr(held, name), slider.max)
            self._controls.failing.value = bool(self._failing)
            self._controls.failing.disabled = self._closed or self._failing is None

    # -- looking -----------------------------------------------------------------------------------------------------------------------

    def _ask_envoy(self) -> None:
        """Counters and endpoints, in a thread. Until the proxy answers again the panel shows none."""
        try:
            self._counters = self._line.counters(self._cluster)
            found = self._line.endpoints(self._cluster)
        except errors.MeshcourseError:
            self._counters, self._standings = {}, ()
            raise
        if any(endpoint.address not in self._names for endpoint in found):
            pods = resources.read(self._connection.core().list_namespaced_pod, self._namespace).items
            self._names = {str(pod.status.pod_ip): str(pod.metadata.name).rsplit("-", 2)[0] for pod in pods}
        self._standings = tuple(Standing(f"{self._names.get(each.address, 'gone')} {each.address}", each) for each in found)

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        held, failing, running = self._held, bool(self._failing), self._load.running
        return Snapshot(held, failing, running, self._crowd.users, counts, summary, dict(self._counters), self._standings, self._error)

    def _draw(self, found: Snapshot) -> None:
        if self._controls is None:
            return
        view = self._trail.view()
        picture.update(self._controls.figure, view)
        self._controls.numbers.value = breaker_controls.count(found.counts, found.summary, found.counters, found.standings)
        self._controls.alt.value = controls.caption(picture.describe(view))

    def _show_running(self, running: bool) -> None:  # noqa: FBT001 - Load calls it
        if self._controls is not None:
            if running:
                self._complain(None)
            self._controls.start.disabled = running or self._closed
            self._controls.stop.disabled = not running
