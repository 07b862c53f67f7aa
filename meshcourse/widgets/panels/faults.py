"""The fault panel: delay and abort by share, for all requests or by header, beside what the callers then see.

Half of the load has the header and half does not, so that one look shows which callers a fault affects. For code: `set_faults`, `start`,
`stop`, `wait_wanted`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import html
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

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
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import LoadedPanel
from meshcourse.widgets.panels.panel import PATIENCE
from meshcourse.widgets.panels.parts import Parts

WINDOW: Final = 4.0
PUSH: Final = 0.5
"""Seconds within which the mesh applies a slider's change."""
ENOUGH: Final = 30
STRAY: Final = 0.02
"""Tolerance for requests that are late without a fault, on a busy machine."""
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


class FaultPanel(LoadedPanel[Parts, Snapshot]):
    """A live panel over one VirtualService's faults."""

    def __init__(self, connection: Connection, *, namespace: str, virtual_service: str, host: str, path: str = "/") -> None:
        super().__init__(str(connection.kubeconfig), namespace, virtual_service)
        self._title = f"Faults of VirtualService {virtual_service} in {namespace}"
        self._by_group: dict[str, Load] = {}
        for group in GROUPS:
            target = Target(connection.ingress_url + path, host=host, headers=dict([mesh.HEADER]) if group == CHOSEN else {})
            self._by_group[group] = self._add_load(target, _label, window=WINDOW, sort=self._sort)
        self._turn(RATE)
        self._faults = self._setting(
            read=lambda: self._kept(mesh.read(connection, namespace, virtual_service)),
            write=lambda _, wanted: mesh.write(connection, namespace, virtual_service, wanted),
            show=self._show,
        )
        self._story = Story()

    def _sort(self, result: Result) -> str:
        if not result.status:
            return ""
        return faulting.outcome(result.version == faulting.ABORTED, result.service_time, self._faults.held.seconds)

    def _kept(self, found: Faults) -> Faults:
        """Without a delay the object has no duration: the slider stays where it is."""
        return found if found.delay or self._controls is None else dataclasses.replace(found, seconds=self._faults.wish.seconds)

    def _build(self) -> Parts:
        held = self._faults.load()
        self.abort, self.delay = parts.slider("abort, %", "mc-abort", width="360px"), parts.slider("delay, %", "mc-delay", width="360px")
        self.seconds = parts.slider("delay, s", "mc-seconds", value=1.0, least=0.5, most=5.0, step=0.5, width="360px")
        self.note = parts.words("mc-note")
        self.who = parts.toggles([EVERYBODY, CHOSEN_ONLY], "who", "mc-who")
        steering = loaded.steering(f"{2 * RATE:.0f} requests a second, half with the header")
        self.seen, alert, self.alt = parts.words("mc-observed"), parts.words("mc-error"), parts.words("mc-alt")
        self.figure = live_figure.made(picture.figure(self._story.view()))
        self._show(held)
        self._show_numbers({group: Summary(WINDOW) for group in GROUPS})
        for field, slider in (("abort", self.abort), ("delay", self.delay), ("seconds", self.seconds)):
            slider.observe(lambda change, field=field: self._moved(**{field: float(change["new"])}), names="value")
        self.who.observe(lambda change: self._moved(chosen=change["new"] == CHOSEN_ONLY), names="value")
        self._steer(steering)
        box = parts.boxed(
            "mc-fault-panel",
            parts.heading(self._title),
            parts.row(self.abort, self.delay, self.seconds, self.note),
            parts.row(self.who, *steering.inputs()),
            self.seen,
            alert,
            self.figure,
            self.alt,
        )
        return Parts(box, alert, (self.abort, self.delay, self.seconds, self.who, *steering.inputs()))

    # -- for notebooks and tests --------------------------------------------------------------------------------------------------------

    def set_faults(self, **fields: float | bool) -> Faults:
        """Change `abort` or `delay` (per cent), `seconds`, or `chosen` (only requests with the header); wait until the API server has it.

        Raises KubernetesError when it is refused, which the panel shows too.
        """
        self.open()
        return self._wait(self._faults.set(dataclasses.replace(self._faults.held, **fields)), within=4 * PATIENCE)  # type: ignore[arg-type] # mypy does not know the fields

    def wait_wanted(self, within: float = 30.0) -> Snapshot:
        """Wait until both groups' observed bands include the wanted share of each fault, on requests sent under the present settings.

        Raises PanelError, naming what differs, when that is not so within `within` seconds.
        """

        def differing(now: Snapshot) -> list[str]:
            age = time.monotonic() - self._faults.changed
            return ["the last change is too recent"] if age < now.faults.seconds + PUSH + 1.0 else _differing(now)

        return self._until(
            lambda now: None if differing(now) else now,
            within,
            what="The observed faults did not reach the wanted shares",
            why=lambda now: "; ".join(differing(now)),
        )

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        if any(load.fresh for load in self._loads):
            seen = self._windows()
            self._story.add(self._now(), self._faults.held, seen)
            await asyncio.to_thread(self._draw, seen)

    def _windows(self) -> dict[str, Summary]:
        return {group: load.look()[1] for group, load in self._by_group.items()}

    async def _snapshot(self) -> Snapshot:
        return Snapshot(self._faults.held, self.running, self._windows(), self._error)

    # -- showing; from any thread ------------------------------------------------------------------------------------------------------

    def _moved(self, **fields: Any) -> None:  # noqa: ANN401 - those of Faults
        if self._by_hand():
            self._faults.offer(dataclasses.replace(self._faults.wish, **fields))

    def _show(self, held: Faults) -> None:
        for load in self._loads:
            load.forget()
        with self._quietly():
            notes = [
                name + words
                for name, slider in (("abort", self.abort), ("delay", self.delay), ("seconds", self.seconds))
                if (words := parts.put(slider, getattr(held, name)))
            ]
            self.note.value = parts.caption(", ".join(notes))
            self.who.value = CHOSEN_ONLY if held.chosen else EVERYBODY

    def _draw(self, seen: Mapping[str, Summary]) -> None:
        view = self._story.view()
        picture.update(self.figure, view)
        self._show_numbers(seen)
        self.alt.value = parts.aloud(picture.describe(view))

    def _show_numbers(self, seen: Mapping[str, Summary]) -> None:
        lines = [
            f"{group}: {', '.join(f'{fault} {faulting.share(seen[group], fault)}' for fault in faulting.FAULTS)}"
            if seen[group].labelled
            else f"{group}: nothing observed yet"
            for group in (CHOSEN, OTHERS)
        ]
        self.seen.value = "<br>".join(map(html.escape, lines))

    def _begins(self) -> None:
        self._story.add(self._now(), self._faults.held, dict.fromkeys(GROUPS))


def _label(status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001 - a Labeller
    return faulting.ABORTED if _ABORT in body else faulting.NEITHER


def _differing(now: Snapshot) -> list[str]:
    """Which wanted shares are not yet observed, as text."""
    found = []
    for group, summary in now.seen.items():
        for fault, percent in faulting.wanted(now.faults, group).items():
            share = faulting.share(summary, fault)
            stray = not percent and fault == faulting.DELAYED and share.share <= STRAY
            if share.n < ENOUGH or (percent / 100 not in share and not stray):
                found.append(f"{group}, {fault}: {percent:g} % wanted, {share} observed")
    return found
