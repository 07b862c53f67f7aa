"""The weight panel: sliders that move real traffic, beside what the traffic then does.

A widget; and the same by calls, for papermill and tests: `set_weights`, `start`, `stop`, `wait_observed`, `snapshot`. Patches, load and
redrawing run on the background loop, so no callback waits for the network. A panel ends with `close()`, when another is opened for the same
route (the cell was run again), and when the kernel exits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import labels as labelling
from meshcourse.measure.shares import Share
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules import weights as route_weights
from meshcourse.traffic import recording
from meshcourse.traffic.results import Counts, Labeller
from meshcourse.traffic.targets import Target
from meshcourse.widgets.figures import weights as picture
from meshcourse.widgets.models import weights as redistribution
from meshcourse.widgets.models.history import Tick, Trail, View
from meshcourse.widgets.panels import parts, weight_controls
from meshcourse.widgets.panels.loaded import LoadedPanel
from meshcourse.widgets.panels.panel import PATIENCE
from meshcourse.widgets.panels.weight_controls import Controls

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


class WeightPanel(LoadedPanel[Controls, Snapshot]):
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
        self._load = self._add_load(target, label, window=window)
        self._weights = self._setting(
            read=lambda: route_weights.read(connection, namespace, virtual_service, route), write=self._write, show=self._show_weights
        )
        self._before: dict[str, int] = {}
        self._wished = 0.0
        self._record: Path | None = None

    # -- life ----------------------------------------------------------------------------------------------------------------------

    def _build(self) -> Controls:
        """Read the weights. Raises KubernetesError or MeshError when the route cannot be read."""
        held = self._before = self._weights.load()
        self._trail = Trail(held)
        built = weight_controls.build(held, f"{self._where[1]} in {self._where[0]}: {self._load.target.url}", self._trail.view())
        for version, slider in built.sliders.items():
            slider.observe(lambda change, version=version: self._moved(version, int(change["new"])), names="value")
        for button, given in built.presets:
            button.on_click(lambda _, given=given: self._ask(dict(given)))
        built.rollback.on_click(lambda _: self._ask(dict(self._before)))
        self._steer(built.steering)
        return built

    async def _beat(self) -> None:
        """Redraw while there is something new."""
        if self._load.fresh:
            found = await self._snapshot()
            self._trail.add(Tick(self._now(), found.weights, found.summary))
            await asyncio.to_thread(self._draw, found, self._trail.view())

    # -- what a notebook or a test calls -----------------------------------------------------------------------------------------------

    def set_weights(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Write these weights and wait until the API server holds them; the sliders follow.

        Raises MeshError or KubernetesError, which the panel shows too.
        """
        self.open()
        return self._wait(self._weights.set(dict(wanted)), within=4 * PATIENCE)

    def start(self, rate: float | None = None, *, record: Path | str | None = None) -> None:
        """Send `rate` requests per second (the rate slider's without it) until `stop`; `record` saves the run there.

        A call while load runs turns the rate.
        """
        self._record = None if record is None else Path(record)
        super().start(rate)

    async def _start(self) -> None:
        record, self._record = self._record, None
        await self._load.start(record)

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
                f"There is no version {version}.", why=f"the route has {', '.join(self._weights.held)}", next="name one of them"
            )

        def seen(now: Snapshot) -> Share | None:
            found = now.summary.share(version)
            return found if found.n >= ENOUGH and share in found else None

        return self._until(
            seen,
            within,
            what=f"{version} did not come to {share:.0%} of the answers",
            why=lambda now: f"{version} observed {now.summary.share(version)}; {self._load.last_fault or now.error or 'no request failed'}",
        )

    # -- callbacks: in the kernel's thread, never waiting ------------------------------------------------------------------------------

    def _moved(self, version: str, weight: int) -> None:
        with self._lock:
            if not self._by_hand():
                return
            now = {each: int(slider.value) for each, slider in self.widgets.sliders.items()}
            # The moved slider already shows its new value; the others still sum to what it had before.
            self._ask(redistribution.moved(now, version, weight))

    def _ask(self, wanted: dict[str, int]) -> None:
        with self._quietly():
            self._show_weights(wanted)
        self._weights.offer(wanted)

    # -- on the background loop ----------------------------------------------------------------------------------------------------------

    def _write(self, held: dict[str, int], wanted: dict[str, int]) -> dict[str, int]:
        """One patch for the newest wish; what was wished for before it is left out."""
        found = route_weights.write(self._connection, *self._where, wanted, self._route)
        if time.monotonic() - self._wished > GESTURE and found != held:
            self._before = held
        self._wished = time.monotonic()
        return found

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        return Snapshot(dict(self._weights.held), self.running, self._load.dial.rate, counts, summary, self._error)

    # -- showing; from any thread --------------------------------------------------------------------------------------------------------

    def _draw(self, found: Snapshot, view: View) -> None:
        picture.update(self.widgets.figure, view)
        for version, text in self.widgets.observed.items():
            text.value = weight_controls.seen(version, found.summary)
        self.widgets.numbers.value = parts.count(found.counts, found.summary)
        self.widgets.alt.value = parts.caption(picture.describe(view))
        self._show_error()

    def _show_weights(self, shown: Mapping[str, int]) -> None:
        for version, slider in self.widgets.sliders.items():
            slider.value = shown.get(version, 0)

    def _begins(self) -> None:
        self._trail.add(Tick(self._now(), self._weights.held, None))

    def _remark(self) -> str:
        return self._load.failure
