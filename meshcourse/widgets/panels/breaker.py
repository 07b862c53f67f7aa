"""The breaker panel: limits, ejection and load as sliders, beside what callers get and what their Envoy counts.

The Envoy is the one of the calling Deployment, `caller`; `failing` is the Deployment of a replica that fails. For code: `set_breaker`,
`set_callers`, `set_failing`, `start`, `stop`, `wait_seen`, `wait_ejected`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

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
from meshcourse.widgets.models import breaker as breaking
from meshcourse.widgets.models.breaker import Standing, Tick, Trail
from meshcourse.widgets.panels import breaker_controls, parts
from meshcourse.widgets.panels.breaker_controls import Controls
from meshcourse.widgets.panels.loaded import LoadedPanel
from meshcourse.widgets.panels.panel import FOLLOW, PATIENCE

REST: Final = 0.05
"""Seconds that a caller pauses after each answer."""
WINDOW: Final = 2.0
_SIGNS: Final = ((b"overflow", breaking.REFUSED), (b"no healthy upstream", breaking.NOBODY), (b"broken", breaking.BROKEN))


def kind(status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001 - a Labeller
    """The kind of a request's outcome, by the answer's text: Envoy's *overflow* and *no healthy upstream*, the replica's *broken*."""
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


class BreakerPanel(LoadedPanel[Controls, Snapshot]):
    """A live panel for one DestinationRule and the Envoy that applies it."""

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
        self._load = self._add_load(Target(url, host=host), kind, window=WINDOW, shape=self._crowd)
        self._line = AdminLine(connection, namespace, caller)
        self._breaker = self._setting(
            read=lambda: breakers.read(connection, namespace, rule),
            write=lambda held, wanted: breakers.write(connection, namespace, rule, held, wanted),
            show=self._show,
        )
        self._failing = self._setting(read=self._read_failing, write=self._write_failing, show=self._show_failing, of="the failing replica")
        self._counters: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._standings: tuple[Standing, ...] = ()
        self._names: dict[str, str] = {}
        self._drawn = 0.0
        self._trail = Trail()

    # -- for notebooks and tests --------------------------------------------------------------------------------------------------------

    def set_breaker(self, **fields: int) -> Breaker:
        """Change fields of the rule (`connections=1, waiting=1, errors=3, seconds=30, floor=50`) and return what the API server holds.

        Raises KubernetesError when it is refused, which the panel shows too.
        """
        self.open()
        return self._wait(self._breaker.set(self._changed(self._breaker.held, **fields)), within=4 * PATIENCE)

    def set_callers(self, users: int) -> None:
        """Set how many callers send at once."""
        self.widgets.callers.value = users

    def set_failing(self, failing: bool) -> None:  # noqa: FBT001 - a switch
        """Add or remove the failing replica, and wait until the API server has stored that."""
        self.open()
        self._wait(self._failing.set(failing), within=4 * PATIENCE)

    def start(self, callers: float | None = None) -> None:
        """Let the callers send until `stop`."""
        if callers is not None:
            self.set_callers(round(callers))
        super().start()

    def wait_seen(self, wanted: str, *, at_least: int = 5, within: float = 15.0) -> int:
        """Wait until the window holds `at_least` answers of a kind (`answered`, `over the limit`, ...); returns how many.

        Raises PanelError when that is not so within `within` seconds.
        """
        return self._until(
            lambda now: seen if (seen := now.summary.versions.get(wanted, 0)) >= at_least else None,
            within,
            what=f"No {at_least} requests were {wanted!r}",
            why=lambda now: f"{now.summary.seconds:g} s brought {dict(now.summary.versions) or 'nothing'}; {now.error or 'no error'}",
        )

    def wait_ejected(self, *, number: int = 1, within: float = 15.0) -> tuple[Standing, ...]:
        """Wait until exactly `number` endpoints are ejected, and return those. Raises PanelError when that is not so in time."""

        def out(now: Snapshot) -> tuple[Standing, ...]:
            return tuple(each for each in now.standings if each.endpoint.ejected)

        return self._until(
            lambda now: out(now) if len(out(now)) == number and now.standings else None,
            within,
            what=f"{len(out(self.snapshot()))} endpoints, not {number}, were ejected",
            why=lambda now: (
                ", ".join(f"{each.name} {'out' if each.endpoint.ejected else 'in'}" for each in now.standings)
                or now.error
                or "Envoy knows no endpoint"
            ),
        )

    # -- required by Panel ---------------------------------------------------------------------------------------------------------------

    def _build(self) -> Controls:
        built = breaker_controls.build(
            self._breaker.load(),
            failing=self._failing.load(),
            callers=self._crowd.users,
            title=f"DestinationRule {self._rule} in {self._namespace}, applied by the Envoy beside the caller",
            view=self._trail.view(),
        )
        for name, slider in built.sliders.items():
            slider.observe(lambda change, name=name: self._moved(name, int(change["new"])), names="value")
        built.callers.observe(lambda change: self._crowd.turn(int(change["new"])), names="value")
        built.failing.observe(lambda change: self._switched(bool(change["new"])), names="value")
        self._steer(built.steering)
        return built

    async def _leave(self) -> None:
        await super()._leave()
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

    def _moved(self, name: str, value: int) -> None:
        if self._by_hand():
            self._breaker.offer(self._changed(self._breaker.wish, **{name: value}))

    def _changed(self, breaker: Breaker, **fields: Any) -> Breaker:  # noqa: ANN401 - those of Breaker
        """The breaker with other fields. Fields that need an outlier detection come from the sliders where the rule has none."""
        if breaker.seconds is None:
            sliders = self.widgets.sliders
            breaker = dataclasses.replace(breaker, seconds=float(sliders["seconds"].value), floor=int(sliders["floor"].value))
        return dataclasses.replace(breaker, **fields)

    def _switched(self, failing: bool) -> None:  # noqa: FBT001 - a switch
        if self._by_hand():
            self._failing.offer(failing)

    def _read_failing(self) -> bool | None:
        """None where there is no failing replica to add."""
        wanted = replicas.read(self._connection, self._namespace, self._faulty)
        return None if wanted is None else wanted > 0

    def _write_failing(self, _: bool | None, failing: bool | None) -> bool | None:  # noqa: FBT001 - a switch
        replicas.write(self._connection, self._namespace, self._faulty, int(bool(failing)))
        return failing

    def _show(self, held: Breaker) -> None:
        breaker_controls.show(self.widgets, held)

    def _show_failing(self, failing: bool | None) -> None:  # noqa: FBT001 - a switch
        self.widgets.failing.value = bool(failing)
        self.widgets.failing.disabled = self._closed or failing is None

    # -- reading ------------------------------------------------------------------------------------------------------------------------

    def _ask_envoy(self) -> None:
        """Read counters and endpoints, in a thread. While the proxy does not answer the panel shows none."""
        try:
            self._before, self._counters = self._counters, self._line.counters(self._cluster)
            found = self._line.endpoints(self._cluster)
        except errors.MeshcourseError:
            self._before, self._counters, self._standings = {}, {}, ()
            raise
        if any(endpoint.address not in self._names for endpoint in found):
            pods = resources.read(self._connection.core().list_namespaced_pod, self._namespace).items
            self._names = {str(pod.status.pod_ip): str(pod.metadata.name).rsplit("-", 2)[0] for pod in pods}
        self._standings = tuple(Standing(f"{self._names.get(each.address, 'gone')} {each.address}", each) for each in found)

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        held, failing, running = self._breaker.held, bool(self._failing.held), self.running
        return Snapshot(held, failing, running, self._crowd.users, counts, summary, dict(self._counters), self._standings, self._error)

    def _draw(self, found: Snapshot) -> None:
        view = self._trail.view()
        picture.update(self.widgets.figure, view)
        self.widgets.numbers.value = breaker_controls.count(found, self._before)
        self.widgets.alt.value = parts.aloud(picture.describe(view))
