"""The weight panel: sliders that move real traffic, beside the resulting traffic.

For code, in papermill and tests: `set_weights`, `start`, `stop`, `wait_observed`, `snapshot`. Patches, load and redrawing run on the
background loop, so no callback waits for the network. A panel ends with `close()`, when another is opened for the same route (the cell was
run again), and when the kernel exits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import labels as labelling
from meshcourse.measure.binomial import Share
from meshcourse.measure.destinations import Destinations, Sent
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules import weights as route_weights
from meshcourse.mesh.rules.weights import Split
from meshcourse.traffic import recording
from meshcourse.traffic.results import Counts, Labeller, Result
from meshcourse.traffic.targets import Target
from meshcourse.widgets.figures import weights as picture
from meshcourse.widgets.models import weights as redistribution
from meshcourse.widgets.models.history import Tick, Trail, View
from meshcourse.widgets.models.standing import Standing
from meshcourse.widgets.panels import parts, weight_controls
from meshcourse.widgets.panels.loaded import LoadedPanel
from meshcourse.widgets.panels.panel import PATIENCE
from meshcourse.widgets.panels.weight_controls import Controls

TICK: Final = 0.25
LOOK: Final = 0.5
"""Seconds between reads of the gateway's counters."""
PUSH: Final = 5.0
"""Seconds within which the gateway's Envoy should hold new weights; after that, counting starts anyway."""
GESTURE: Final = 2.0
"""Changes within this many seconds are one drag: `Undo` reverts all of it."""
ENOUGH: Final = 30
"""Answers from which on an observed share is judged."""


@dataclass(frozen=True)
class Snapshot:
    """A panel at one moment. `weights` is what the mesh holds; `error` the text of the error line."""

    weights: Mapping[str, int]
    running: bool
    rate: float
    counts: Counts
    summary: Summary
    error: str


class WeightPanel(LoadedPanel[Controls, Snapshot]):
    """A live panel for one route's weights. Construction does no I/O; the first use reads the weights and builds the widgets.

    Without `route` it takes the first that splits traffic; without `host`, a host of the VirtualService.
    """

    every = TICK

    def __init__(  # noqa: PLR0913 - each is a choice of the chapter
        self,
        connection: Connection,
        *,
        namespace: str,
        virtual_service: str,
        route: str | None = None,
        url: str = "",
        labels: Labeller | str = labelling.VERSION_WORD,
        host: str = "",
        headers: Mapping[str, str] | None = None,
        window: float = 3.0,
    ) -> None:
        super().__init__(str(connection.kubeconfig), namespace, virtual_service, route or "")
        self._connection, self._where, self._route, self._host = connection, (namespace, virtual_service), route, host
        url = url or f"{connection.ingress_url}/"
        self._gateway = Destinations(connection) if url.startswith(connection.ingress_url) else None
        label = labelling.only(labelling.body(labels) if isinstance(labels, str) else labels)
        target = Target(url, headers=headers or {}, host=host)
        self._load = self._add_load(target, label, window=window, on_result=self._add_result)
        self._split = self._setting(read=self._read, write=self._write, show=self._show)
        self._standing = Standing(())
        self._routes: tuple[str, ...] = ()
        self._before: Split | None = None
        self._wished = self._counted = 0.0
        self._counting: asyncio.Task[None] | None = None
        self._ruling: Split | None = None
        """The newest weights that the gateway's Envoy should hold."""
        self._ruled: dict[str, float] = {}
        self._in_force = asyncio.Event()
        self._other = ""
        """The route that takes the panel's requests in place of its own, in words."""
        self._record: Path | None = None

    # -- life ----------------------------------------------------------------------------------------------------------------------

    def _build(self) -> Controls:
        """Read the weights. Raises KubernetesError or MeshError when the route cannot be read."""
        held = self._split.load()
        self._before = held
        self._trail = Trail(held.weights)
        built = weight_controls.build(f"{self._where[1]} in {self._where[0]}: {self._load.target.url}", self._trail.view())
        built.rollback.on_click(lambda _: self._undo())
        built.route.observe(self._chosen, names="value")
        self._steer(built.steering)
        self._show_split(built, held)
        return built

    def _add_result(self, result: Result) -> None:
        self._standing.add(result, self._now())

    async def _beat(self) -> None:
        """Redraw when there is something new."""
        if self._load.fresh:
            if self._load.running and time.monotonic() - self._counted > LOOK and (self._counting is None or self._counting.done()):
                self._counting = asyncio.create_task(self._shown(self._count(), of="the gateway"))
            found = await self._snapshot()
            self._trail.add(Tick(self._now(), self._split.held.percent, found.summary))
            await asyncio.to_thread(self._draw, found, self._trail.view(tuple(self._standing.single)))

    async def _count(self) -> None:
        """Read how many requests the gateway sent to each destination."""
        await self._came()

    async def _came(self) -> dict[str, Sent] | None:
        """What the gateway has sent to each destination since it was last read; None where it cannot be read."""
        self._counted, answered = time.monotonic(), self._standing.by_answers
        if self._gateway is None:
            return None
        try:
            came = await asyncio.to_thread(self._gateway.sent, self._split.held)
        except errors.MeshcourseError:  # the panel reports it where it matters
            return None
        self._standing.sent(answered, {name: sent.requests for name, sent in came.items()})
        return came

    async def _follow(self) -> None:
        await super()._follow()
        if self._gateway is not None and self._in_force.is_set() and not self._unmet(self._split.held, self._load.target.host):
            other = await asyncio.to_thread(self._gateway.other_route, self._load.target, self._split.held)
            if other != self._other:  # earlier answers came by a route that takes these requests no longer
                self._standing.begin(time.time())
            self._other = other
            self._complain(_shadowed(other, self._split.held) if other else None, of="which route takes the requests")

    async def _leave(self) -> None:
        await super()._leave()
        await self._end(self._counting)
        if self._gateway is not None:
            await asyncio.to_thread(self._gateway.close)

    # -- for notebooks and tests --------------------------------------------------------------------------------------------------------

    def set_weights(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Write these weights, in per cent, and wait until the API server holds them; the sliders follow.

        Raises MeshError or KubernetesError, which the panel shows too.
        """
        self.open()
        return self._wait(self._set(wanted), within=4 * PATIENCE)

    def start(self, rate: float | None = None, *, record: Path | str | None = None) -> None:
        """Send `rate` requests per second (default: the rate slider's) until `stop`; `record` saves the run there.

        A call while load runs changes the rate.
        """
        self._record = None if record is None else Path(record)
        super().start(rate)

    def replay(self, path: Path | str, *, speed: float = 1.0) -> None:
        """Show a saved run in place of load. Raises TrafficError for a file that is no run."""
        found = recording.load(Path(path))
        self._standing.restart()
        self._wait(self._load.replay(found, speed=speed))

    def wait_observed(self, version: str, share: float, within: float = 10.0) -> Share:
        """Wait until the observed share's 95 % band includes `share` (0 to 1), on 30 answers or more, and return it.

        Raises PanelError when that is not so within `within` seconds.
        """
        if version not in self.widgets.sliders:
            raise errors.PanelError(
                f"There is no version {version}.", why=f"the route has {', '.join(self._split.held.weights)}", next="name one of them"
            )

        def seen(now: Snapshot) -> Share | None:
            found = now.summary.share(version)
            return found if found.n >= ENOUGH and share in found and self._in_force.is_set() else None

        return self._until(
            seen,
            within,
            what=f"{version} did not reach {share:.0%} of the answers",
            why=lambda now: f"{version} observed {now.summary.share(version)}; {self._load.last_fault or now.error or 'no request failed'}",
        )

    # -- callbacks: in the kernel's thread, never waiting ------------------------------------------------------------------------------

    def _moved(self, version: str, weight: int) -> None:
        with self._lock:
            if not self._by_hand():
                return
            now = {each: int(slider.value) for each, slider in self.widgets.sliders.items()}
            # The moved slider already has its new value; the others still have the sum from before.
            self._ask(redistribution.moved(now, version, weight))

    def _ask(self, wanted: Mapping[str, int]) -> None:
        wish = self._split.held.weighing(wanted)
        with self._quietly():
            self._show_weights(self.widgets, wish)
        self._split.offer(wish)

    def _undo(self) -> None:
        if self._before is not None:
            self._ask(self._before.weights)

    def _chosen(self, change: Mapping[str, Any]) -> None:
        if self._by_hand():
            self._route = str(change["new"])
            self._later(self._split.follow())

    # -- on the background loop ----------------------------------------------------------------------------------------------------------

    async def _set(self, wanted: Mapping[str, int]) -> dict[str, int]:
        try:
            route_weights.check(wanted)
            route_weights.check_names(wanted, list(self._split.held.weights), self._split.held.virtual_service)
        except errors.MeshError as error:
            self._complain(error, of="setting")
            raise
        return (await self._split.set(self._split.held.weighing(wanted))).weights

    def _read(self) -> Split:
        found = route_weights.splits(self._connection, *self._where)
        self._routes = tuple(each.key for each in found)
        meant = next((each for each in found if len(each.destinations) > 1), found[0] if found else None)
        if self._route is not None or meant is None:
            return route_weights.chosen(found, self._where[1], self._route)
        return meant

    def _write(self, held: Split, wanted: Split) -> Split:
        """One patch for the newest wish; earlier waiting wishes are skipped."""
        found = route_weights.put(self._connection, wanted, wanted.weights)
        if time.monotonic() - self._wished > GESTURE and found != held:
            self._before = held
        self._wished = time.monotonic()
        return found

    async def _start(self) -> None:
        record, self._record = self._record, None
        if not self.running:
            self._standing.restart()
            await self._count()
        await self._load.start(record)

    async def _await_rule(self, split: Split) -> None:
        """Start counting when Envoy holds the new weights: earlier requests do not count."""
        ends = time.monotonic() + PUSH
        while self._gateway is not None and split.listeners.patterns and self._ruling is split and time.monotonic() < ends:
            try:
                if await asyncio.to_thread(self._gateway.hold, split):
                    break
            except errors.MeshcourseError:  # the start is unknown
                break
            await asyncio.sleep(0.03)
        if self._ruling is split:
            self._standing.begin(time.time())
            self._in_force.set()
            await self._count()

    async def _ask_for(self, host: str) -> None:
        """Continue with requests for another host."""
        running = self.running
        await self._stop()
        self._load.target = replace(self._load.target, host=host)
        if self._controls is not None:
            self._show_rule(self._controls)
        if running:
            await self._start()

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        summary = replace(summary, versions=self._standing.counts)
        return Snapshot(self._split.held.weights, self.running, self._load.dial.rate, counts, summary, self._error)

    # -- showing; from any thread --------------------------------------------------------------------------------------------------------

    def _draw(self, found: Snapshot, view: View) -> None:
        picture.update(self.widgets.figure, view)
        for version, text in self.widgets.observed.items():
            text.value = weight_controls.seen(version, found.summary)
        self.widgets.numbers.value = parts.count(found.counts, found.summary)
        self.widgets.alt.value = parts.aloud(picture.describe(view))
        self._show_rule(self.widgets)
        self._show_error()

    def _show(self, held: Split) -> None:
        self._show_split(self.widgets, held)

    def _show_split(self, built: Controls, held: Split) -> None:
        """Follow the route: its destinations, its weights, and the host for which requests reach it."""
        if list(built.sliders) != list(held.weights):
            weight_controls.fill(built, list(held.weights))
            for version, slider in built.sliders.items():
                slider.observe(lambda change, version=version: self._moved(version, int(change["new"])), names="value")
            for button, given in built.presets:
                button.on_click(lambda _, given=given: self._ask(given))
            self._trail.rename(held.weights)
            self._standing.rename(held.weights)
            built.figure.redraw(picture.figure(self._trail.view()))
        with self._quietly():
            self._show_weights(built, held)
            built.route.options = self._routes
            built.route.value = held.key
            built.route.layout.display = None if len(self._routes) > 1 else "none"
        self._show_rule(built)
        host = self._host or held.listeners.host
        if host != self._load.target.host:
            self._later(self._ask_for(host))
        self._complain(self._unmet(held, host), of="who reads the route")
        if self._ruled != held.percent:
            self._ruling, self._ruled = held, held.percent
            self._in_force.clear()
            self._later(self._await_rule(held))

    def _unmet(self, held: Split, host: str) -> errors.PanelError | None:
        """Why the panel's requests do not reach the route."""
        if self._gateway is None or (
            held.listeners.patterns and held.listeners.takes(host or self._load.target.address.rpartition(":")[0])
        ):
            return None
        why = held.listeners.why or f"The rule is for {', '.join(held.listeners.patterns)}; the panel asks for {host or 'no host'}."
        return errors.PanelError(why, why="so the answers do not depend on these weights", next="lab.weight_panel(..., host=...)")

    def _show_weights(self, built: Controls, shown: Split) -> None:
        for version, percent in redistribution.split(redistribution.WHOLE, shown.weights).items():
            built.sliders[version].value = percent

    def _show_rule(self, built: Controls) -> None:
        host = self._load.target.host
        asked = f"The rule is for {host}: the panel's requests have this host." if host and not self._host else ""
        notes = [each for each in (weight_controls.written(self._split.held), asked, self._standing.doubt) if each]
        built.rule.value = "<br>".join(map(parts.caption, notes))

    def _begins(self) -> None:
        self._trail.add(Tick(self._now(), self._split.held.percent, None))

    def _remark(self) -> str:
        return self._load.failure


def _shadowed(other: str, held: Split) -> errors.PanelError:
    return errors.PanelError(
        f"The panel's requests do not take route {held.key} of VirtualService {held.virtual_service}, but {other}.",
        why="Envoy takes the first route that matches, and of several VirtualServices for one host the oldest comes first",
        next="lab.inspector_panel()    # every route in the gateway's order",
    )
