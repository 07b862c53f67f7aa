"""The weight panel: sliders that move real traffic, beside what the traffic then does.

Patches, load and redrawing run on the background loop, so no callback waits for the network. A panel ends with `close()`, when
another is opened for the same route (the cell was run again), and when the kernel exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshcourse.core import background, errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import labels as labelling
from meshcourse.measure.shares import Share
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules import weights as route_weights
from meshcourse.traffic import recording
from meshcourse.traffic.results import Counts, Labeller
from meshcourse.traffic.targets import Target
from meshcourse.widgets.figures import weights as picture
from meshcourse.widgets.load import Load
from meshcourse.widgets.models import weights as redistribution
from meshcourse.widgets.models.history import Tick, Trail, View
from meshcourse.widgets.panels import controls
from meshcourse.widgets.panels.controls import Controls
from meshcourse.widgets.panels.panel import PATIENCE, Panel

TICK: Final = 0.25
GESTURE: Final = 2.0
"""Changes that follow each other faster are one drag: `Roll back` returns to before all of it."""
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


class WeightPanel(Panel):
    """A live panel over one route's weights. Making one does no I/O; the first use reads the weights and builds the widgets."""

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
        self._connection = connection
        self._where = (namespace, virtual_service)
        self._route = route
        target = Target(url or f"{connection.ingress_url}/", headers=headers or {}, host=host)
        label = labelling.only(labelling.body(labels) if isinstance(labels, str) else labels)
        self._load = Load(target, label, window=window, changed=self._show_running, failed=self._complain)
        self._held: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._changed = 0.0
        self._controls: Controls | None = None

    # -- life ----------------------------------------------------------------------------------------------------------------------

    def _build(self) -> tuple[Any, Any]:
        """Read the weights. Raises KubernetesError or MeshError when the route cannot be read."""
        self._held = self._before = route_weights.read(self._connection, *self._where, self._route)
        self._trail = Trail(self._held)
        self._controls = controls.build(self._held, f"{self._where[1]} in {self._where[0]}: {self._load.target.url}", self._trail.view())
        self._wire(self._controls)
        return self._controls.box, self._controls.error

    def _inputs(self) -> tuple[Any, ...]:
        return () if self._controls is None else self._controls.inputs()

    async def _beat(self) -> None:
        """Redraw while there is something new."""
        if self._load.fresh:
            found = await self._snapshot()
            self._trail.add(Tick(self._now(), found.weights, found.summary))
            await asyncio.to_thread(self._draw, found, self._trail.view())

    async def _leave(self) -> None:
        await self._load.stop()

    @property
    def widgets(self) -> Controls:
        """The widgets, built if need be."""
        self.open()
        if self._controls is None:
            raise AssertionError
        return self._controls

    # -- what a notebook or a test calls -----------------------------------------------------------------------------------------------

    def set_weights(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Write these weights and wait until the API server holds them; the sliders follow.

        Raises MeshError or KubernetesError, which the panel shows too.
        """
        return self._wait(self._set(dict(wanted)), within=4 * PATIENCE)

    def start(self, rate: float | None = None, *, record: Path | str | None = None) -> None:
        """Send `rate` requests per second (the rate slider's without it) until `stop`; `record` saves the run there.

        A call while load runs turns the rate.
        """
        shown = self.widgets.rate
        rate = float(shown.value) if rate is None else rate
        with self._lock:
            shown.max = max(shown.max, round(rate))
            shown.value = max(shown.min, round(rate))
            self._load.dial.turn(rate)
        background.run(self._load.start(Path(record) if record else None), timeout=PATIENCE)

    def stop(self) -> None:
        """End the load (or the replay) and wait until its sockets are closed."""
        background.run(self._load.stop(), timeout=PATIENCE)

    def replay(self, path: Path | str, *, speed: float = 1.0) -> None:
        """Show a saved run again, as if its load ran now. Raises TrafficError for a file that is no run."""
        found = recording.load(Path(path))
        self._wait(self._load.replay(found, speed=speed))

    def wait_observed(self, version: str, share: float, within: float = 10.0) -> Share:
        """Wait until the observed share's 95 % band holds `share` (0 to 1), on 30 answers or more, and return it.

        Raises PanelError when that has not come about within `within` seconds.
        """
        if version not in self.widgets.sliders:
            raise errors.PanelError(
                f"There is no version {version}.", why=f"the route has {', '.join(self._held)}", next="name one of them"
            )
        ends = time.monotonic() + within
        while True:
            found = self.snapshot().summary.share(version)
            if found.n >= ENOUGH and share in found:
                return found
            if time.monotonic() > ends:
                why = f"{version} observed {found}; {self._load.last_fault or self._error or 'no request failed'}"
                following = "panel.snapshot()" if self.running else "panel.start(rate=50)    # no load is running"
                raise errors.PanelError(
                    f"{version} did not come to {share:.0%} of the answers within {within:g} s.", why=why, next=following
                )
            time.sleep(0.05)

    def snapshot(self) -> Snapshot:
        """The panel now."""
        return self._wait(self._snapshot())

    @property
    def running(self) -> bool:
        """Whether load is being sent or a run replayed."""
        return self._load.running

    # -- callbacks: in the kernel's thread, never waiting ------------------------------------------------------------------------------

    def _wire(self, built: Controls) -> None:
        for version, slider in built.sliders.items():
            slider.observe(lambda change, version=version: self._moved(version, int(change["new"])), names="value")
        for button, given in built.presets:
            button.on_click(lambda _, given=given: self._ask(dict(given)))
        built.rollback.on_click(lambda _: self._ask(dict(self._before)))
        built.start.on_click(lambda _: self._later(self._load.start()))
        built.stop.on_click(lambda _: self._later(self._load.stop()))
        built.rate.observe(lambda change: self._load.dial.turn(float(change["new"])), names="value")

    def _moved(self, version: str, weight: int) -> None:
        with self._lock:
            if not self._by_hand():
                return
            now = {each: int(slider.value) for each, slider in self.widgets.sliders.items()}
            # The moved slider already shows its new value; the others still sum to what it had before.
            self._ask(redistribution.moved(now, version, weight))

    def _ask(self, wanted: dict[str, int]) -> None:
        self._show_weights(wanted)
        self._latest.offer(wanted)

    # -- on the background loop ----------------------------------------------------------------------------------------------------------

    async def _set(self, wanted: dict[str, int]) -> dict[str, int]:
        try:
            held = await asyncio.to_thread(route_weights.write, self._connection, *self._where, wanted, self._route)
        except errors.MeshcourseError as error:
            await self._return(error)
            raise
        self._accept(held)
        self._show_weights(held)
        return held

    async def _write(self, wanted: dict[str, int]) -> None:
        """One patch for the newest wish; what was wished for before it is left out."""
        try:
            self._accept(await asyncio.to_thread(route_weights.write, self._connection, *self._where, wanted, self._route))
        except Exception as error:  # noqa: BLE001 - an error in a callback is shown in the widget
            await self._return(error)

    async def _return(self, error: Exception) -> None:
        """After a failed patch: say so, and let the sliders show what the mesh really holds."""
        self._complain(error)
        with contextlib.suppress(errors.MeshcourseError):
            self._held = await asyncio.to_thread(route_weights.read, self._connection, *self._where, self._route)
        if not self._latest.waiting:
            self._show_weights(self._held)

    def _accept(self, held: dict[str, int]) -> None:
        now = time.monotonic()
        if now - self._changed > GESTURE and held != self._held:
            self._before = self._held
        self._changed, self._held = now, held
        self._complain(None)

    async def _follow(self) -> None:
        asked = self._changed
        held = await asyncio.to_thread(route_weights.read, self._connection, *self._where, self._route)
        if set(held) != set(self._held):
            why = f"the route's versions are now {', '.join(held)}"
            raise errors.PanelError("The route has other versions than this panel.", why=why, next="run the panel's cell again")
        # A drag that began while we were reading is newer than what was read.
        if held != self._held and asked == self._changed and not self._latest.busy:
            self._accept(held)
            self._show_weights(held)

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        return Snapshot(dict(self._held), self._load.running, self._load.dial.rate, counts, summary, self._error)

    # -- showing; from any thread --------------------------------------------------------------------------------------------------------

    def _draw(self, found: Snapshot, view: View) -> None:
        picture.update(self.widgets.figure, view)
        for version, text in self.widgets.observed.items():
            text.value = controls.seen(version, found.summary)
        self.widgets.numbers.value = controls.count(found.counts, found.summary)
        self.widgets.alt.value = controls.caption(picture.describe(view))
        self._show_error()

    def _show_weights(self, shown: Mapping[str, int]) -> None:
        with self._quietly():
            for version, slider in self.widgets.sliders.items():
                slider.value = shown.get(version, 0)

    def _show_running(self, running: bool) -> None:  # noqa: FBT001 - Load calls it
        if self._controls is not None:
            if running:
                self._complain(None)
                self._trail.add(Tick(self._now(), self._held, None))
            self._controls.start.disabled = running or self._closed
            self._controls.stop.disabled = not running

    def _show_error(self) -> None:
        last = f"Last failed request: {self._load.last_fault}" if self._load.last_fault else ""
        if self._controls is not None:
            self._controls.error.value = controls.complaint("\n".join(each for each in (self._error, last) if each))
