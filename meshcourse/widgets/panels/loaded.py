"""Parts shared by panels that send load: the buttons that start and stop it, the slider of its rate, and the same for code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meshcourse.core import background
from meshcourse.traffic.results import Labeller
from meshcourse.traffic.targets import Target
from meshcourse.widgets.load import Load
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import PATIENCE, C, Panel, S, Widget


@dataclass(frozen=True)
class Steering:
    """The buttons, and the slider of the rate where the panel has one."""

    start: Widget
    stop: Widget
    rate: Widget | None = None

    def inputs(self) -> tuple[Widget, ...]:
        """All widgets that a learner can move or press."""
        return (self.start, self.stop) if self.rate is None else (self.start, self.stop, self.rate)


def steering(tooltip: str, *, rate: int = 0, most: int = 0, css: str = "mc-") -> Steering:
    """The widgets; a slider from 1 to `most` requests per second where `rate`, its first value, is given."""
    start = parts.button("Start load", f"{css}start", tooltip=tooltip, style="success")
    stop = parts.button("Stop load", f"{css}stop", tooltip="Stop sending")
    stop.disabled = True
    return Steering(start, stop, parts.slider("requests/s", f"{css}rate", value=rate, most=most, least=1) if rate else None)


class LoadedPanel(Panel[C, S]):
    """A panel that sends load: subclasses call `_add_load`, and `_steer` with the buttons."""

    def __init__(self, *key: str) -> None:
        super().__init__(*key)
        self._loads: list[Load] = []
        self._steering: Steering | None = None
        self._sending = 0

    def _begins(self) -> None:
        """Called when load starts: a subclass clears its data."""

    def _add_load(self, target: Target, label: Labeller, *, window: float, **more: Any) -> Load:  # noqa: ANN401 - Load's
        made = Load(target, label, window=window, changed=self._show_running, failed=self._complain, **more)
        self._loads.append(made)
        return made

    def _steer(self, steering: Steering) -> None:
        """Wire the buttons, and the rate's slider where there is one."""
        self._steering = steering
        steering.start.on_click(lambda _: self._later(self._start()))
        steering.stop.on_click(lambda _: self._later(self._stop()))
        if steering.rate is not None:
            self._turn(float(steering.rate.value))
            steering.rate.observe(lambda change: self._turn(float(change["new"])), names="value")

    def _turn(self, rate: float) -> None:
        for load in self._loads:
            load.dial.turn(rate)

    def start(self, rate: float | None = None) -> None:
        """Send load until `stop`: `rate` requests per second, or what the panel's controls say. A call while load runs changes the rate."""
        self.open()
        slider = None if self._steering is None else self._steering.rate
        if rate is not None and slider is not None:
            slider.max = max(slider.max, round(rate))
            slider.value = max(slider.min, round(rate))
            self._turn(rate)
        self._wait(self._start())

    def stop(self) -> None:
        """End the load and wait until its sockets are closed."""
        background.run(self._stop(), timeout=PATIENCE)

    @property
    def running(self) -> bool:
        """Whether load is being sent, or a saved run replayed."""
        return any(load.running for load in self._loads)

    async def _start(self) -> None:
        for load in self._loads:
            await load.start()

    async def _stop(self) -> None:
        for load in self._loads:
            await load.stop()

    async def _leave(self) -> None:
        await self._stop()

    def _show_running(self, running: bool) -> None:  # noqa: FBT001 - Load calls it
        self._sending += 1 if running else -1
        if running:
            self._complain(None)
            self._begins()
        if self._steering is not None:
            self._steering.start.disabled = self._sending > 0 or self._closed
            self._steering.stop.disabled = not self._sending
