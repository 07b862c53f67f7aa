"""The weight panel's controls: which widgets there are, how they look and where they stand. No callback is wired here.

Each has a CSS class (`mc-weight-v2`, `mc-observed-v2`, `mc-start`, ...), by which a browser test finds it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.measure.windows import Summary
from meshcourse.traffic.results import Counts
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import weights as picture
from meshcourse.widgets.models import weights as redistribution
from meshcourse.widgets.models.history import View
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import Steering
from meshcourse.widgets.panels.parts import Widget

MAX_RATE: Final = 500


@dataclass(frozen=True)
class Controls:
    """The widgets. `presets` holds (button, weights)."""

    box: Widget
    figure: Widget
    sliders: Mapping[str, Widget]
    observed: Mapping[str, Widget]
    presets: tuple[tuple[Widget, Mapping[str, int]], ...]
    rollback: Widget
    steering: Steering
    numbers: Widget
    error: Widget
    alt: Widget
    more: tuple[Widget, ...] = ()
    """What a panel made of this one adds."""

    def inputs(self) -> tuple[Widget, ...]:
        """Everything that a learner can move or press."""
        return (*self.sliders.values(), *(button for button, _ in self.presets), self.rollback, *self.steering.inputs(), *self.more)


def build(weights: Mapping[str, int], title: str, view: View) -> Controls:
    """All widgets for a route with these weights."""
    sliders = {
        version: parts.slider(version, f"mc-weight-{parts.css(version)}", value=part, live=True) for version, part in weights.items()
    }
    observed = {version: parts.words("mc-observed", f"mc-observed-{parts.css(version)}") for version in weights}
    for version in weights:
        observed[version].value = seen(version, Summary(1.0))
    presets = tuple((parts.button(text, f"mc-preset-{parts.css(text)}"), given) for text, given in redistribution.presets(tuple(weights)))
    rollback = parts.button("Roll back", "mc-rollback", tooltip="Back to the weights before the last change")
    steering = loaded.steering("Send requests at the chosen rate", rate=50, most=MAX_RATE)
    numbers, error, alt = parts.words("mc-numbers"), parts.words("mc-error"), parts.words("mc-alt")
    numbers.value, alt.value = parts.count(Counts(), Summary(1.0)), parts.caption(picture.describe(view))
    figure = live_figure.made(picture.figure(view))
    box = parts.boxed(
        "mc-weight-panel",
        parts.heading(title),
        ipywidgets.VBox([parts.row(sliders[version], observed[version]) for version in weights]),
        parts.row(*(button for button, _ in presets), rollback),
        parts.row(*steering.inputs()),
        numbers,
        error,
        figure,
        alt,
    )
    return Controls(box, figure, sliders, observed, presets, rollback, steering, numbers, error, alt)


def seen(version: str, summary: Summary) -> str:
    """`v2 observed 49.8 % (n=312), 95 % band 44.3 to 55.3 %`."""
    share = summary.share(version)
    if not share.n:
        return f"{html.escape(version)} observed nothing yet (n=0)"
    return f"{html.escape(version)} observed {share}, 95 % band {100 * share.low:.1f} to {100 * share.high:.1f} %"
