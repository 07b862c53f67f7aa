"""The timeout panel's controls: which widgets there are, how they look and where they stand.

No callback is wired here.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ipywidgets

from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import timeout as picture
from meshcourse.widgets.panels import controls

Widget = Any  # ipywidgets has no types
MOST: Final = 5.0


@dataclass(frozen=True)
class Controls:
    """The widgets. `timeouts` are in the order of the way out: the first hop's first."""

    box: Widget
    figure: Widget
    delay: Widget
    timeouts: tuple[Widget, ...]
    send: Widget
    repeat: Widget
    words: Widget
    error: Widget
    alt: Widget

    def inputs(self) -> tuple[Widget, ...]:
        """Everything that a learner can move or press."""
        return (self.delay, *self.timeouts, self.send, self.repeat)


def build(delay: float, timeouts: Sequence[tuple[str, float]], *, title: str, figure: dict[str, Any]) -> Controls:
    """All widgets; `timeouts` are (description, seconds)."""
    waiting = _slider("the server takes, s", delay, "mc-delay")
    limits = tuple(_slider(text, seconds, f"mc-timeout-{number}") for number, (text, seconds) in enumerate(timeouts))
    wrapped = ipywidgets.Layout(flex_flow="row wrap")
    note = controls.caption("0: none, which is Istio's default")
    rows = [ipywidgets.HBox([limit, ipywidgets.HTML(note)], layout=wrapped) for limit in limits]
    send = controls.button("Send one request", "mc-send", tooltip="and see where the time goes", style="success")
    repeat = ipywidgets.ToggleButton(value=False, description="Keep sending", tooltip="one after the other, with a second between")
    repeat.add_class("mc-repeat")
    repeat.layout.width = "auto"
    words, error, alt = controls.words("mc-words"), controls.words("mc-error"), controls.words("mc-alt")
    words.value, alt.value = "No request has been sent yet.", controls.caption(picture.describe(()))
    live = live_figure.made(figure)
    buttons = ipywidgets.HBox([send, repeat], layout=ipywidgets.Layout(flex_flow="row wrap"))
    box = ipywidgets.VBox(
        [ipywidgets.HTML(f"<b>{html.escape(title)}</b>"), waiting, *rows, buttons, words, error, live, alt],
        layout=controls.whole(),
    )
    box.add_class("mc-timeout-panel")
    return Controls(box, live, waiting, limits, send, repeat, words, error, alt)


def _slider(text: str, value: float, name: str) -> Widget:
    slider = ipywidgets.FloatSlider(
        value=value,
        min=0.0,
        max=MOST,
        step=0.1,
        readout_format=".1f",
        description=text,
        continuous_update=False,
        style={"description_width": "190px"},
        layout=ipywidgets.Layout(width="460px", max_width="100%"),
    )
    slider.add_class(name)
    return slider
