"""The objective panel's picture: one small chart for each service-level objective, with the zone in which it is met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshcourse.measure.objectives import LATENCY, LOAD, NAMES, SHARE, SUCCESS, Objectives
from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines
from meshcourse.widgets.models.objectives import View

_PLACES: Final = {SUCCESS: ([0.0, 0.46], [0.6, 1.0]), LATENCY: ([0.56, 1.0], [0.6, 1.0]), SHARE: ([0.0, 0.46], [0.0, 0.4])}
_PLACES[LOAD] = ([0.56, 1.0], [0.0, 0.4])
_UNITS: Final = {SUCCESS: "%", LATENCY: "ms", SHARE: "%", LOAD: "times"}
SIGNS: Final = {True: "✔", False: "✘", None: "○"}
"""Never colour alone: signs for met, not met, unknown."""


def figure(view: View) -> dict[str, Any]:
    """The whole figure, for `plotly.graph_objects.Figure` or live_figure.made."""
    return lines.drawn(traces(view), layout(view))


def update(live: Any, view: View) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces and titles of `live`, made by `figure`, to `view`: one message to the browser."""
    with lines.moving(live, traces(view)) as now:
        for annotation, made in zip(now.annotations, titles(view), strict=True):
            annotation.text = made["text"]
        now.xaxis.range = view.range


def zones(wanted: Objectives) -> dict[str, tuple[float, float]]:
    """The range in which each value meets its objective, in the figure's units."""
    return {
        SUCCESS: (100 * (1 - wanted.failing), 100.0),
        LATENCY: (0.0, 1000 * wanted.latency),
        SHARE: (100 * (wanted.share - wanted.slack), 100 * (wanted.share + wanted.slack)),
        LOAD: (0.0, wanted.tries),
    }


def traces(view: View) -> Iterator[lines.Trace]:
    """(style, x, y) of each trace, in order: for each objective the zone's two edges, then the value."""
    for number, name in enumerate(NAMES):
        axes = {} if number == 0 else {"xaxis": f"x{number + 1}", "yaxis": f"y{number + 1}"}
        low, high = zones(view.wanted)[name]
        edge = {**lines.line(name, "zone", palette.series(2), "dot", 1.0), "hoverinfo": "skip", "showlegend": False, **axes}
        yield edge, view.range, (low, low)
        yield {**edge, "fill": "tonexty", "fillcolor": palette.faint(palette.series(2))}, view.range, (high, high)
        yield {**lines.line(name, "", palette.series(0), "solid", 2.5), "showlegend": False, **axes}, view.seconds, view.values[name]


def titles(view: View) -> list[dict[str, Any]]:
    """`✔ success: 99.8 % (1 of 600 failed)` above each chart."""
    made = []
    for mark in view.marks:
        (left, _), (_, top) = _PLACES[mark.name]
        # A narrow window has two of them side by side; the table above has the full text.
        text = f"<b>{SIGNS[mark.met]} {mark.title}</b>: {mark.seen.partition(' requests for')[0]}"
        place = {"x": left, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        made.append({**place, "text": text, "showarrow": False})
    return made


def layout(view: View) -> dict[str, Any]:
    """Two by two charts over one time axis."""
    made: dict[str, Any] = {**lines.GROUND, "hovermode": "x", "annotations": titles(view), "showlegend": False}
    ranges: dict[str, dict[str, Any]] = {SUCCESS: {"range": [-3, 103]}, SHARE: {"range": [-3, 103]}, LOAD: {"range": [0, 4.2]}}
    for number, name in enumerate(NAMES):
        x, y = _PLACES[name]
        end = "" if number == 0 else str(number + 1)
        seconds = {"title": {"text": "seconds"}} if y[0] == 0.0 else {"showticklabels": False}
        shared = {"range": list(view.range)} if number == 0 else {"matches": "x"}
        made[f"xaxis{end}"] = {**lines.AXIS, **shared, "domain": x, "anchor": f"y{end}", **seconds}
        scale = ranges.get(name, {"rangemode": "tozero"})
        made[f"yaxis{end}"] = {**lines.AXIS, **scale, "domain": y, "anchor": f"x{end}", "title": {"text": _UNITS[name]}}
    return made


def describe(view: View) -> str:
    """The picture as text, for screen readers."""
    states = {True: "met", False: "not met", None: "not known yet"}
    parts = [f"{mark.title} {states[mark.met]}: {mark.seen}, wanted {mark.wanted}" for mark in view.marks]
    return "Four service-level objectives over the last minute. " + "; ".join(parts) + "."
