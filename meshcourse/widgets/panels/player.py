"""A film of a panel, played: the same figures and words, with a slider for the moment, and no cluster.

What the learner once moved is shown as words; nothing here reaches a mesh.
"""

from __future__ import annotations

import asyncio
import html
import math
import time
from typing import Any, Final

import ipywidgets

from meshcourse.widgets import live_figure, playback
from meshcourse.widgets.panels import controls
from meshcourse.widgets.panels.panel import Panel, Widget
from meshcourse.widgets.playback import Film, Scene

STEP: Final = 0.25


class Player(Panel):
    """Making one draws nothing; its first use shows the film's last moment."""

    every = STEP

    def __init__(self, shown: Film, *, name: str = "", speed: float = 1.0) -> None:
        super().__init__(name, shown.panel)
        self.film, self._speed = shown, speed
        self._playing = False
        self._from = self._since = 0.0
        self._at = shown.seconds

    def _build(self) -> tuple[Widget, Widget]:
        first = self.film.scene(self._at)
        self.moment = ipywidgets.FloatSlider(
            value=stepped(self._at),
            min=0.0,
            max=max(stepped(self.film.seconds), STEP),
            step=STEP,
            description="second",
            readout_format=".1f",
            layout=ipywidgets.Layout(width="420px", max_width="100%"),
        )
        self.moment.add_class("mc-moment")
        self.moment.observe(lambda change: self._moved(float(change["new"])), names="value")
        self.begin = controls.button("Play", "mc-play", tooltip="Show the run from this moment on", style="success")
        self.end = controls.button("Pause", "mc-pause", tooltip="Stay at this moment")
        self.begin.on_click(lambda _: self.play())
        self.end.on_click(lambda _: self.stop())
        alert = controls.words("mc-error")
        self.parts: dict[str, Widget] = {}
        for number, value in first.parts.items():
            if isinstance(value, dict):
                self.parts[number] = live_figure.made(value)
            elif self.film.names.get(number, "") or isinstance(value, str):
                self.parts[number] = controls.words("mc-words")
        self._draw(first)
        row = ipywidgets.HBox([self.begin, self.end, self.moment], layout=ipywidgets.Layout(flex_flow="row wrap"))
        heading = ipywidgets.HTML(f"<b>Saved run</b> of {html.escape(self.film.panel)}, {self.film.seconds:.0f} s")
        box = ipywidgets.VBox([heading, row, alert, *self.parts.values()], layout=controls.whole())
        box.add_class("mc-player")
        return box, alert

    def _inputs(self) -> tuple[Widget, ...]:
        return (self.begin, self.end, self.moment)

    # -- by calls ----------------------------------------------------------------------------------------------------------------------

    def seek(self, at: float) -> Scene:
        """Show the moment `at` seconds after the beginning, and return it."""
        self.open()
        self._go(at)
        return self.scene()

    def play(self) -> None:
        """Show the run from this moment on, from the beginning when it is over."""
        self.open()
        self._from = 0.0 if self._at >= self.film.seconds else self._at
        self._since, self._playing = time.monotonic(), True

    def stop(self) -> None:
        """Stay at this moment."""
        self._playing = False

    def scene(self) -> Scene:
        """What is shown now."""
        return self.film.scene(self._at)

    # -- showing -----------------------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        if self._playing:
            at = self._from + (time.monotonic() - self._since) * self._speed
            self._playing = at < self.film.seconds
            await asyncio.to_thread(self._go, at)

    async def _leave(self) -> None:
        self._playing = False

    def _moved(self, at: float) -> None:
        if self._by_hand():
            self._playing = False
            try:
                self._go(at)
            except Exception as error:  # noqa: BLE001 - an error in a callback is shown in the widget
                self._complain(error)

    def _go(self, at: float) -> None:
        self._at = min(max(at, 0.0), self.film.seconds)
        with self._quietly():
            self.moment.value = stepped(self._at)
        self._draw(self.film.scene(self._at))

    def _draw(self, shown: Scene) -> None:
        for number, part in self.parts.items():
            value = shown.parts.get(number)
            if isinstance(value, dict):
                update(part, value)
            else:
                part.value = words(self.film.names.get(number, ""), value)


def stepped(at: float) -> float:
    """The slider's step at or after a moment. A value between two steps the browser rounds and sends back, as if a learner had moved it."""
    return math.ceil(at / STEP) * STEP


def update(live: Any, wanted: playback.Json) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Move a live figure on to a saved one of as many traces: one message to the browser."""
    with live.batch_update():
        for trace, given in zip(live.data, wanted["data"], strict=True):
            trace.update(given)
        live.layout.update(wanted["layout"])


def words(name: str, value: playback.Json) -> str:
    """A control's name and value; a line of words as it was."""
    return f"{html.escape(name)}: <b>{html.escape(str(value))}</b>" if name else str(value or "")
