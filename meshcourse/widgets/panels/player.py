"""A film of a panel, played: the same figures and texts, with a slider for the moment, and no cluster.

The inputs of the recorded panel are shown as text; nothing here changes a mesh. For code: `seek`, `play`, `stop`, `scene`.
"""

from __future__ import annotations

import asyncio
import html
import math
import time
from typing import Any, Final

import ipywidgets

from meshcourse.widgets import live_figure, playback
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import Panel, Widget
from meshcourse.widgets.panels.parts import Parts
from meshcourse.widgets.playback import Film, Scene

STEP: Final = 0.25


class Player(Panel[Parts, Scene]):
    """Construction draws nothing; the first use shows the film's last moment."""

    every = STEP

    def __init__(self, shown: Film, *, name: str = "", speed: float = 1.0) -> None:
        super().__init__(name, shown.panel)
        self.film, self._speed = shown, speed
        self._playing = False
        self._from = self._since = 0.0
        self._at = shown.seconds

    def _build(self) -> Parts:
        first = self.film.scene(self._at)
        end = max(stepped(self.film.seconds), STEP)
        self.moment = parts.slider("second", "mc-moment", value=stepped(self._at), most=end, step=STEP, live=True)
        self.moment.observe(lambda change: self._moved(float(change["new"])), names="value")
        self.begin = parts.button("Play", "mc-play", tooltip="Show the run from this moment on", style="success")
        self.end = parts.button("Pause", "mc-pause", tooltip="Stay at this moment")
        self.begin.on_click(lambda _: self.play())
        self.end.on_click(lambda _: self.stop())
        alert = parts.words("mc-error")
        self.shown: dict[str, Widget] = {}
        for number, value in first.parts.items():
            if isinstance(value, dict):
                self.shown[number] = live_figure.made(value)
            elif self.film.names.get(number, "") or isinstance(value, str):
                self.shown[number] = parts.words("mc-words")
        self._draw(first)
        row = parts.row(self.begin, self.end, self.moment)
        heading = ipywidgets.HTML(f"<b>Saved run</b> of {html.escape(self.film.panel)}, {self.film.seconds:.0f} s")
        return Parts(parts.boxed("mc-player", heading, row, alert, *self.shown.values()), alert, (self.begin, self.end, self.moment))

    async def _snapshot(self) -> Scene:
        return self.scene()

    # -- for code --------------------------------------------------------------------------------------------------------------------

    def seek(self, at: float) -> Scene:
        """Show the moment `at` seconds after the start, and return it."""
        self.open()
        self._go(at)
        return self.scene()

    def play(self) -> None:
        """Play from this moment on, from the start when at the end."""
        self.open()
        self._from = 0.0 if self._at >= self.film.seconds else self._at
        self._since, self._playing = time.monotonic(), True

    def stop(self) -> None:
        """Pause at this moment."""
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
        for number, part in self.shown.items():
            value = shown.parts.get(number)
            if isinstance(value, dict):
                update(part, value)
            else:
                part.value = words(self.film.names.get(number, ""), value)


def stepped(at: float) -> float:
    """The slider's step at or after a moment: the browser rounds other values and sends them back, as if a learner had moved it."""
    return math.ceil(at / STEP) * STEP


def update(live: Any, wanted: playback.Json) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update a live figure to a saved one with as many traces: one message to the browser."""
    with live.batch_update():
        for trace, given in zip(live.data, wanted["data"], strict=True):
            trace.update(given)
        live.layout.update(wanted["layout"])


def words(name: str, value: playback.Json) -> str:
    """A control's name and value; a line of text unchanged."""
    return f"{html.escape(name)}: <b>{html.escape(str(value))}</b>" if name else str(value or "")
