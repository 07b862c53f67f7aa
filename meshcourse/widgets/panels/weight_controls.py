"""The weight panel's controls: its widgets, their style and their layout. No callbacks here.

Each has a CSS class (`mc-weight-v2`, `mc-observed-v2`, `mc-start`, ...), by which a browser test finds it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules.weights import Split
from meshcourse.traffic.results import Counts
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import weights as picture
from meshcourse.widgets.models import weights
from meshcourse.widgets.models.history import View
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import Steering
from meshcourse.widgets.panels.parts import Widget

MAX_RATE: Final = 500


@dataclass(frozen=True)
class Controls:
    """The widgets. `sliders`, `observed` and `presets`, which holds (button, weights), depend on the route: `fill` makes them."""

    box: Widget
    figure: Widget
    route: Widget
    sliders: dict[str, Widget]
    observed: dict[str, Widget]
    presets: list[tuple[Widget, Mapping[str, int]]]
    rollback: Widget
    steering: Steering
    rule: Widget
    numbers: Widget
    error: Widget
    alt: Widget
    rows: Widget
    steps: Widget
    more: tuple[Widget, ...] = ()
    """Widgets that a subclass's panel adds."""

    def inputs(self) -> tuple[Widget, ...]:
        """All widgets that a learner can move or press."""
        buttons = [button for button, _ in self.presets]
        return (self.route, *self.sliders.values(), *buttons, self.rollback, *self.steering.inputs(), *self.more)


def build(title: str, view: View) -> Controls:
    """All widgets, for a route that `fill` sets later."""
    rollback = parts.button("Undo", "mc-rollback", tooltip="Back to the weights before the last change")
    steering = loaded.steering("Send requests at the chosen rate", rate=50, most=MAX_RATE)
    route = ipywidgets.Dropdown(description="route", tooltip="route", style={"description_width": "80px"})
    route.add_class("mc-route")
    route.layout.display = "none"
    rule, numbers, error, alt = (parts.words(name) for name in ("mc-rule", "mc-numbers", "mc-error", "mc-alt"))
    numbers.value = parts.count(Counts(), Summary(1.0))
    figure = live_figure.made(picture.figure(view))
    rows, steps = ipywidgets.VBox(), parts.row()
    box = parts.boxed("mc-weight-panel", parts.heading(title), route, rows, rule, steps, parts.row(*steering.inputs()))
    box.children = (*box.children, numbers, error, figure, alt)
    return Controls(box, figure, route, {}, {}, [], rollback, steering, rule, numbers, error, alt, rows, steps)


def fill(controls: Controls, names: Sequence[str]) -> None:
    """Make a slider, a line and the buttons for each destination."""
    width = f"{min(max(80, 9 * max(map(len, names), default=0)), 260)}px"
    controls.sliders.clear()
    controls.observed.clear()
    for name in names:
        controls.sliders[name] = parts.slider(name, f"mc-weight-{parts.css(name)}", live=True, words=width, width=f"calc(340px + {width})")
        controls.observed[name] = parts.words("mc-observed", f"mc-observed-{parts.css(name)}")
        controls.observed[name].value = seen(name, Summary(1.0))
    controls.presets[:] = [(parts.button(text, f"mc-preset-{parts.css(text)}"), given) for text, given in weights.presets(tuple(names))]
    controls.rows.children = [parts.row(controls.sliders[name], controls.observed[name]) for name in names]
    controls.steps.children = (*(button for button, _ in controls.presets), controls.rollback)


def written(split: Split) -> str:
    """The weights as the rule has them, where they are not in per cent."""
    total = sum(split.weights.values())
    if total == weights.WHOLE or len(split.destinations) == 1:
        return ""
    listed = ", ".join(f"{name} {weight}" for name, weight in split.weights.items())
    means = ", ".join(f"{name} {percent:.1f} %" for name, percent in split.percent.items())
    return f"The rule has {listed}. Weights are relative to their sum, {total}: {means}."


def seen(version: str, summary: Summary) -> str:
    """`v2 observed 49.8 % (n=312), 95 % band 44.3 to 55.3 %`."""
    share = summary.share(version)
    if not share.n:
        return f"{html.escape(version)} observed nothing yet (n=0)"
    return f"{html.escape(version)} observed {share}, 95 % band {100 * share.low:.1f} to {100 * share.high:.1f} %"
