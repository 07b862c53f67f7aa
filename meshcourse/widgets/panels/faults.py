"""The fault panel: delay and abort by share, for everybody or by header, beside what the callers then see.

Half of the load carries the header and half does not, so that one look shows whom a fault hits.
"""

from __future__ import annotations

import asyncio
import dataclasses
import html
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules import faults as mesh
from meshcourse.mesh.rules.faults import Faults
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import faults as picture
from meshcourse.widgets.load import Load
from meshcourse.widgets.models import faults as faulting
from meshcourse.widgets.models.faults import CHOSEN, GROUPS, OTHERS, Story
from meshcourse.widgets.panels import controls
from meshcourse.widgets.panels.panel import PATIENCE, Panel, Widget

WINDOW: Final = 4.0
PUSH: Final = 0.5
"""Seconds that the mesh may take to follow a slider."""
ENOUGH: Final = 30
STRAY: Final = 0.02
"""A busy machine makes a request late now and then, with no fault at all."""
RATE: Final = 20.0
"""Requests per second of each half."""
EVERYBODY, CHOSEN_ONLY = "every request", f"only {mesh.HEADER[0]}: {mesh.HEADER[1]}"
_ABORT: Final = b"fault filter abort"


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment. `seen` is the window of each group of callers."""

    faults: Faults
    running: bool
    seen: Mapping[str, Summary]
    error: str


class FaultPanel(Panel):
    """A live panel over one VirtualService's faults."""

    def __init__(self, connection: Connection, *, namespace: str, virtual_service: str, host: str, path: str = "/") -> None:
        super().__init__(str(connection.kubeconfig), namespace, virtual_service)
        self._connection, self._where = connection, (namespace, virtual_service)
        header = dict([mesh.HEADER])
        self._loads = {
            group: self._load(Target(connection.ingress_url + path, host=host, headers=header if group == CHOSEN else {}))
            for group in GROUPS
        }
        self._held = Faults()
        self._asked = 0.0
        self._running = 0
        self._story = Story()

    def _load(self, target: Target) -> Load:
        made = Load(target, _label, window=WINDOW, changed=self._show_running, failed=self._complain, sort=self._sort)
        made.dial.turn(RATE)
        return made

    def _sort(self, result: Result) -> str:
        if not result.status:
            return ""
        return faulting.outcome(result.version == faulting.ABORTED, result.service_time, self._held.seconds)

    # -- what it is made of ------------------------------------------------------------------------------------------------------------

    def _build(self) -> tuple[Widget, Widget]:
        self._held = mesh.read(self._connection, *self._where)
        self.abort, self.delay = _slider("abort, %", "mc-abort"), _slider("delay, %", "mc-delay")
        self.seconds = ipywidgets.FloatSlider(
            min=0.5,
            max=5.0,
            step=0.5,
            description="delay, s",
            continuous_update=False,  # else the browser sends back what is between two steps, rounded, and would change what kubectl wrote
            style={"description_width": "80px"},
            layout=ipywidgets.Layout(width="360px", max_width="100%"),
        )
        self.seconds.add_class("mc-seconds")
        self.who = controls.toggles([EVERYBODY, CHOSEN_ONLY], "who", "mc-who")
        self.begin = controls.button(
            "Start load", "mc-start", tooltip=f"{2 * RATE:.0f} requests a second, half with the header", style="success"
        )
        self.end = controls.button("Stop load", "mc-stop", tooltip="Stop sending")
        self.end.disabled = True
        self.seen, alert, self.alt = controls.words("mc-observed"), controls.words("mc-error"), controls.words("mc-alt")
        self.figure = live_figure.made(picture.figure(self._story.view()))
        self._show(self._held)
        self._show_numbers({group: Summary(WINDOW) for group in GROUPS})
        for widget in (self.abort, self.delay, self.seconds, self.who):
            widget.observe(lambda _: self._moved(), names="value")
        self.begin.on_click(lambda _: self._later(self._start()))
        self.end.on_click(lambda _: self._later(self._stop()))
        row = ipywidgets.Layout(flex_flow="row wrap")
        namespace, name = self._where
        rows = [
            ipywidgets.HTML(f"<b>Faults of VirtualService {html.escape(name)} in {html.escape(namespace)}</b>"),
            ipywidgets.HBox([self.abort, self.delay, self.seconds], layout=row),
            ipywidgets.HBox([self.who, self.begin, self.end], layout=row),
            self.seen,
            alert,
            self.figure,
            self.alt,
        ]
        box = ipywidgets.VBox(rows, layout=controls.whole())
        box.add_class("mc-fault-panel")
        return box, alert

    def _inputs(self) -> tuple[Widget, ...]:
        return (self.abort, self.delay, self.seconds, self.who, self.begin, self.end)

    async def _leave(self) -> None:
        await self._stop()

    # -- what a notebook or a test calls -----------------------------------------------------------------------------------------------

    def set_faults(self, **fields: float | bool) -> Faults:
        """Change `abort` or `delay` (per cent), `seconds`, or `chosen` (only requests with the header); wait until the API server has it.

        Raises KubernetesError when it is refused, which the panel shows too.
        """
        self.open()
        return self._wait(self._set(dataclasses.replace(self._held, **fields)), within=4 * PATIENCE)  # type: ignore[arg-type] # mypy does not know the fields

    def start(self) -> None:
        """Send load until `stop`."""
        self._wait(self._start())

    def stop(self) -> None:
        """End the load and wait until its sockets are closed."""
        self._wait(self._stop())

    @property
    def running(self) -> bool:
        """Whether load is being sent."""
        return any(load.running for load in self._loads.values())

    def snapshot(self) -> Snapshot:
        """The panel now."""
        return self._wait(self._snapshot())

    def wait_wanted(self, within: float = 30.0) -> Snapshot:
        """Wait until both groups' observed bands hold what is wanted of each fault, on requests sent under the present settings.

        Raises PanelError, naming what differs, when that has not come about within `within` seconds.
        """
        ends = time.monotonic() + within
        while True:
            now = self.snapshot()
            age = time.monotonic() - self._asked
            differing = ["the last change is too new"] if age < now.faults.seconds + PUSH + 1.0 else _differing(now)
            if not differing:
                return now
            if time.monotonic() > ends:
                following = "panel.snapshot()" if now.running else "panel.start()    # no load is running"
                raise errors.PanelError(
                    f"The faults did not come to what is wanted within {within:g} s.", why="; ".join(differing), next=following
                )
            time.sleep(0.05)

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        if any(load.fresh for load in self._loads.values()):
            seen = {group: load.look()[1] for group, load in self._loads.items()}
            self._story.add(self._now(), self._held, seen)
            await asyncio.to_thread(self._draw, seen)

    async def _follow(self) -> None:
        asked = self._asked
        held = await asyncio.to_thread(mesh.read, self._connection, *self._where)
        if asked == self._asked and held != self._comparable():
            self._accept(held)

    def _comparable(self) -> Faults:
        """What the mesh can tell of what is held: without a delay it does not say how long one would be."""
        return self._held if self._held.delay else dataclasses.replace(self._held, seconds=1.0)

    async def _start(self) -> None:
        for load in self._loads.values():
            await load.start()

    async def _stop(self) -> None:
        for load in self._loads.values():
            await load.stop()

    async def _snapshot(self) -> Snapshot:
        return Snapshot(self._held, self.running, {group: load.look()[1] for group, load in self._loads.items()}, self._error)

    async def _write(self, wanted: Faults) -> None:
        await self._shown(self._set(wanted))

    async def _set(self, wanted: Faults) -> Faults:
        try:
            held = await asyncio.to_thread(mesh.write, self._connection, *self._where, wanted)
        except errors.MeshcourseError as error:
            self._complain(error)
            self._show(self._held)
            raise
        self._complain(None)
        self._accept(held)
        return held

    def _accept(self, held: Faults) -> None:
        self._asked, self._held = time.monotonic(), held
        for load in self._loads.values():
            load.forget()
        self._show(held)

    # -- showing; from any thread ------------------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        chosen = self.who.value == CHOSEN_ONLY
        wanted = Faults(float(self.abort.value), float(self.delay.value), float(self.seconds.value), chosen)
        if self._by_hand():
            self._asked = time.monotonic()
            self._latest.offer(wanted)

    def _show(self, held: Faults) -> None:
        if self._latest.waiting:
            return
        with self._quietly():
            self.abort.value, self.delay.value = round(held.abort), round(held.delay)
            self.seconds.value = min(max(held.seconds, self.seconds.min), self.seconds.max)
            self.who.value = CHOSEN_ONLY if held.chosen else EVERYBODY

    def _draw(self, seen: Mapping[str, Summary]) -> None:
        view = self._story.view()
        picture.update(self.figure, view)
        self._show_numbers(seen)
        self.alt.value = controls.caption(picture.describe(view))

    def _show_numbers(self, seen: Mapping[str, Summary]) -> None:
        lines = [
            f"{group}: {', '.join(f'{fault} {faulting.share(seen[group], fault)}' for fault in faulting.FAULTS)}"
            if seen[group].labelled
            else f"{group}: nothing observed yet"
            for group in (CHOSEN, OTHERS)
        ]
        self.seen.value = "<br>".join(map(html.escape, lines))

    def _show_running(self, running: bool) -> None:  # noqa: FBT001 - either Load calls it
        self._running += 1 if running else -1
        if running:
            self._complain(None)
            self._story.add(self._now(), self._held, dict.fromkeys(GROUPS))
        self.begin.disabled = self._running > 0 or self._closed
        self.end.disabled = not self._running


def _label(status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001 - a Labeller
    return faulting.ABORTED if _ABORT in body else faulting.NEITHER


def _differing(now: Snapshot) -> list[str]:
    """What is not yet observed as wanted, in words."""
    found = []
    for group, summary in now.seen.items():
        for fault, percent in faulting.wanted(now.faults, group).items():
            share = faulting.share(summary, fault)
            stray = not percent and fault == faulting.DELAYED and share.share <= STRAY
            if share.n < ENOUGH or (percent / 100 not in share and not stray):
                found.append(f"{group}, {fault}: {percent:g} % wanted, {share} observed")
    return found


def _slider(text: str, name: str) -> Widget:
    slider = ipywidgets.IntSlider(
        min=0, max=100, description=text, style={"description_width": "80px"}, layout=ipywidgets.Layout(width="360px", max_width="100%")
    )
    slider.add_class(name)
    return slider
