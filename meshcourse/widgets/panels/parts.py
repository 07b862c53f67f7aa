"""The parts that panels are made of: sliders, buttons, lines of text, rows, and texts that several panels use.

Every part has a description or a CSS class (`mc-start`, `mc-rate`, ...), by which a browser test finds it. No callbacks here.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets

from meshcourse.measure.windows import Summary
from meshcourse.traffic.results import Counts
from meshcourse.widgets import palette

Widget = Any  # ipywidgets has no types


@dataclass(frozen=True)
class Parts:
    """The widgets of a simple panel: the box, the line for errors, and the inputs."""

    box: Widget
    error: Widget
    movable: tuple[Widget, ...]

    def inputs(self) -> tuple[Widget, ...]:
        """All widgets that a learner can move or press."""
        return self.movable


def boxed(name: str, *rows: Widget) -> Widget:
    """A whole panel of `rows`, with the CSS class `name`."""
    box = ipywidgets.VBox(list(rows), layout=whole())
    box.add_class(name)
    return box


def row(*widgets: Widget) -> Widget:
    """Widgets side by side, wrapped where there is no room."""
    return ipywidgets.HBox(list(widgets), layout=ipywidgets.Layout(flex_flow="row wrap"))


def heading(text: str) -> Widget:
    """A panel's title."""
    return ipywidgets.HTML(f"<b>{html.escape(text)}</b>")


def css(text: str) -> str:
    """`text` as part of a class name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)


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


def remark(text: str) -> str:
    """A line under the errors that is not announced each time it changes; nothing for an empty text."""
    return f'<div style="border-left:4px solid {palette.GRID};padding-left:8px">{html.escape(text)}</div>' if text else ""


def caption(text: str) -> str:
    """Plain text, small and pale: a note beside a slider, or under a picture."""
    return f'<span style="color:var(--jp-content-font-color2, {palette.INK});font-size:90%">{html.escape(text)}</span>'


def slider(  # noqa: PLR0913 - a slider's looks
    text: str,
    *names: str,
    value: float = 0,
    least: float = 0,
    most: float = 100,
    step: float = 1,
    live: bool = False,
    width: str = "420px",
    words: str = "80px",
) -> Widget:
    """A slider with the CSS classes `names`, of whole numbers where `step` is one. `live`: it sends each step of a drag."""
    made = (ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider)(
        value=value,
        min=least,
        max=max(most, value),
        step=step,
        description=text,
        tooltip=text,
        continuous_update=live,
        style={"description_width": words},
        layout=ipywidgets.Layout(width=width, max_width="100%"),
        **({} if isinstance(step, int) else {"readout_format": ".1f"}),
    )
    for name in names:
        made.add_class(name)
    return made


def aloud(text: str) -> str:
    """The picture as text, for screen readers; not visible."""
    hidden = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap"
    return f'<span style="{hidden}">{html.escape(text)}</span>'


def put(slider: Widget, value: float | None) -> str:
    """Move a slider to an object's value; None: it stays. Returns, as text, what the slider cannot show exactly."""
    if value is None:
        return ""
    slider.max = max(slider.max, math.ceil(value))
    whole = isinstance(slider.step, int)
    slider.value = max(slider.min, round(value) if whole else round(value, 3))
    return "" if abs(slider.value - value) < 1e-6 else f" (the rule says {value:g})"  # noqa: PLR2004 - rounding of floats


def button(text: str, name: str, *, tooltip: str = "", style: str = "") -> Widget:
    """A button as wide as its text, with the CSS class `name`."""
    made = ipywidgets.Button(description=text, tooltip=tooltip or text, button_style=style, layout=ipywidgets.Layout(width="auto"))
    made.add_class(name)
    return made


def whole() -> Widget:
    """The layout of a whole panel: as wide as the cell, with a maximum for readability."""
    return ipywidgets.Layout(width="100%", max_width="1160px", overflow="hidden")


def toggles(options: Sequence[str], text: str, name: str) -> Widget:
    """Buttons of which one is selected, on one line with their label where there is room."""
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
