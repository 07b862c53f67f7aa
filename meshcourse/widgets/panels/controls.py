"""The weight panel's controls: which widgets there are, how they look and where they stand.

No callback is wired here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets

from meshcourse.measure.windows import Summary
from meshcourse.traffic.results import Counts
from meshcourse.widgets import live_figure, palette
from meshcourse.widgets.figures import weights as picture
from meshcourse.widgets.models import weights as redistribution
from meshcourse.widgets.models.history import View

Widget = Any  # ipywidgets has no types
MAX_RATE = 500


@dataclass(frozen=True)
class Controls:
    """The widgets. `presets` holds (button, weights)."""

    box: Widget
    figure: Widget
    sliders: Mapping[str, Widget]
    observed: Mapping[str, Widget]
    presets: tuple[tuple[Widget, Mapping[str, int]], ...]
    rollback: Widget
    start: Widget
    stop: Widget
    rate: Widget
    numbers: Widget
    error: Widget
    alt: Widget

    def inputs(self) -> tuple[Widget, ...]:
        """Everything that a learner can move or press."""
        return (*self.sliders.values(), *(button for button, _ in self.presets), self.rollback, self.start, self.stop, self.rate)


def build(weights: Mapping[str, int], title: str, view: View) -> Controls:
    """All widgets for a route with these weights."""
    sliders = {version: weight_slider(version, weight) for version, weight in weights.items()}
    observed = {version: words("mc-observed", f"mc-observed-{css(version)}") for version in weights}
    for version in weights:
        observed[version].value = seen(version, Summary(1.0))
    presets = tuple((button(text, f"mc-preset-{css(text)}"), given) for text, given in redistribution.presets(tuple(weights)))
    rollback = button("Roll back", "mc-rollback", tooltip="Back to the weights before the last change")
    start = button("Start load", "mc-start", tooltip="Send requests at the chosen rate", style="success")
    stop = button("Stop load", "mc-stop", tooltip="Stop sending")
    stop.disabled = True
    rate = ipywidgets.IntSlider(
        value=50,
        min=1,
        max=MAX_RATE,
        description="requests/s",
        style={"description_width": "80px"},
        layout=ipywidgets.Layout(width="420px", max_width="100%"),
    )
    rate.add_class("mc-rate")
    numbers, error, alt = words("mc-numbers"), words("mc-error"), words("mc-alt")
    numbers.value, alt.value = count(Counts(), Summary(1.0)), caption(picture.describe(view))
    figure = live_figure.made(picture.figure(view))
    heading = ipywidgets.HTML(f"<b>{html.escape(title)}</b>")
    row = ipywidgets.Layout(flex_flow="row wrap")
    left = ipywidgets.VBox([ipywidgets.HBox([sliders[version], observed[version]], layout=row) for version in weights])
    steps = ipywidgets.HBox([*(button for button, _ in presets), rollback], layout=row)
    load = ipywidgets.HBox([start, stop, rate], layout=row)
    box = ipywidgets.VBox(
        [heading, left, steps, load, numbers, error, figure, alt],
        layout=whole(),
    )
    box.add_class("mc-weight-panel")
    return Controls(box, figure, sliders, observed, presets, rollback, start, stop, rate, numbers, error, alt)


def css(text: str) -> str:
    """`text` as part of a class name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)


def seen(version: str, summary: Summary) -> str:
    """`v2 observed 49.8 % (n=312), 95 % band 44.3 to 55.3 %`."""
    share = summary.share(version)
    if not share.n:
        return f"{html.escape(version)} observed nothing yet (n=0)"
    return f"{html.escape(version)} observed {share}, 95 % band {100 * share.low:.1f} to {100 * share.high:.1f} %"


def count(counts: Counts, summary: Summary) -> str:
    """The line of numbers: requests, latency percentiles, errors by code."""
    milliseconds = " · ".join(
        f"{name} {1000 * value:.1f} ms" for name in ("p50", "p95", "p99") if (value := getattr(summary.latency, name)) is not None
    )
    failed = ", ".join(f"{html.escape(code)} ×{number}" for code, number in sorted(summary.errors().items())) or "none"  # noqa: RUF001 - times
    sent = f"{counts.begun:,} requests sent, {counts.answered:,} answered, {counts.failed:,} without answer"
    sent += f", {counts.late:,} late, {counts.dropped:,} dropped"
    last = (
        f"last {summary.seconds:g} s: {summary.rate:.0f} per second"
        + (f" · {milliseconds}" if milliseconds else "")
        + f" · errors: {failed}"
    )
    return f"{sent}<br>{last}"


def complaint(text: str) -> str:
    """An error line; nothing for an empty text."""
    lines = "<br>".join(html.escape(line) for line in text.splitlines())
    return f'<div role="alert" style="border-left:4px solid {palette.series(1)};padding-left:8px">{lines}</div>' if text else ""


def caption(text: str) -> str:
    """Plain text, small and pale: the picture in words, under it; a note beside a slider."""
    return f'<span style="color:var(--jp-content-font-color2, {palette.INK});font-size:90%">{html.escape(text)}</span>'


def weight_slider(version: str, weight: int) -> Widget:
    """A slider for one version's weight."""
    slider = ipywidgets.IntSlider(
        value=weight,
        min=0,
        max=100,
        description=version,
        continuous_update=True,
        style={"description_width": "80px"},
        layout=ipywidgets.Layout(width="420px", max_width="100%"),
    )
    slider.add_class(f"mc-weight-{css(version)}")
    return slider


def button(text: str, name: str, *, tooltip: str = "", style: str = "") -> Widget:
    """A button as wide as its text, with the CSS class `name`."""
    made = ipywidgets.Button(description=text, tooltip=tooltip or text, button_style=style, layout=ipywidgets.Layout(width="auto"))
    made.add_class(name)
    return made


def whole() -> Widget:
    """The layout of a whole panel: as wide as the cell, never wider than a screen's reading width."""
    return ipywidgets.Layout(width="100%", max_width="1160px", overflow="hidden")


def toggles(options: Sequence[str], text: str, name: str) -> Widget:
    """Buttons of which one is down, on one line with what they choose where there is room."""
    made = ipywidgets.ToggleButtons(
        options=list(options),
        description=text,
        style={"description_width": "initial", "button_width": "auto"},
        layout=ipywidgets.Layout(
            width="max-content",
            max_width="100%",
            margin="2px",
            display="flex",
            flex_flow="row wrap",
            align_items="center",
            grid_gap="0 6px",
        ),
    )
    made.add_class(name)
    return made


def words(*names: str) -> Widget:
    """A line of text to be filled in, with the CSS classes `names`."""
    made = ipywidgets.HTML()
    for name in names:
        made.add_class(name)
    return made
