"""The timeout panel's controls: its widgets, their style and their layout. No callbacks here.

Each has a CSS class (`mc-delay`, `mc-timeout-0`, `mc-send`, ...), by which a browser test finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ipywidgets

from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import timeout as picture
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.parts import Widget

MOST: Final = 5.0


@dataclass(frozen=True)
class Controls:
    """The widgets. `timeouts` are in the order of the request's way: the first hop's first."""

    box: Widget
    figure: Widget
    delay: Widget
    timeouts: tuple[Widget, ...]
    notes: tuple[Widget, ...]
    send: Widget
    repeat: Widget
    words: Widget
    error: Widget
    alt: Widget

    def inputs(self) -> tuple[Widget, ...]:
        """All widgets that a learner can move or press."""
        return (self.delay, *self.timeouts, self.send, self.repeat)


def build(delay: float, timeouts: Sequence[tuple[str, float]], *, title: str, figure: dict[str, Any]) -> Controls:
    """All widgets; `timeouts` are (description, seconds)."""

    def slider(text: str, seconds: float, css: str) -> Widget:
        return parts.slider(text, css, value=seconds, most=MOST, step=0.1, width="460px", words="190px")

    waiting = slider("the server takes, s", delay, "mc-delay")
    limits = tuple(slider(text, seconds, f"mc-timeout-{number}") for number, (text, seconds) in enumerate(timeouts))
    notes = tuple(parts.words("mc-note") for _ in limits)
    rows = [parts.row(limit, note) for limit, note in zip(limits, notes, strict=True)]
    send = parts.button("Send one request", "mc-send", tooltip="and see where the time goes", style="success")
    repeat = ipywidgets.ToggleButton(value=False, description="Keep sending", tooltip="one after the other, with a second between")
    repeat.add_class("mc-repeat")
    repeat.layout.width = "auto"
    words, error, alt = parts.words("mc-words"), parts.words("mc-error"), parts.words("mc-alt")
    words.value, alt.value = "No request has been sent yet.", parts.aloud(picture.describe(()))
    live = live_figure.made(figure)
    box = parts.boxed("mc-timeout-panel", parts.heading(title), waiting, *rows, parts.row(send, repeat), words, error, live, alt)
    made = Controls(box, live, waiting, limits, notes, send, repeat, words, error, alt)
    show(made, [seconds for _, seconds in timeouts])
    return made


def show(controls: Controls, timeouts: Sequence[float]) -> None:
    """Show the rules' timeouts on the sliders."""
    for slider, note, seconds in zip(controls.timeouts, controls.notes, timeouts, strict=True):
        note.value = parts.caption("0: none, which is Istio's default" + parts.put(slider, seconds))
