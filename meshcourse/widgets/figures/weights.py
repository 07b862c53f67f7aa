"""The weight panel's picture: shares per version beside the wanted ones, latency, errors.

The order of traces is the order of `series`; it depends only on the versions, so a live figure never gains or loses a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines
from meshcourse.widgets.models.history import View

_PERCENTILES = {"p50": ("solid", 0), "p95": ("dash", 1), "p99": ("dot", 3)}
_ERRORS = {"4xx": ("dot", 4), "5xx": ("solid", 1), "no answer": ("dash", 3)}


def figure(view: View) -> dict[str, Any]:
    """The whole figure, for `plotly.graph_objects.Figure` or live_figure.made."""
    return lines.drawn(series(view), layout(view))


def update(live: Any, view: View) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces of `live`, made by `figure` for the same versions, to `view`: one message to the browser."""
    with lines.moving(live, series(view)) as now:
        now.xaxis.range = view.range


def series(view: View) -> Iterator[lines.Trace]:
    """(style, x, y) of each trace, in order."""
    for number, (version, band) in enumerate(view.versions.items()):
        yield from lines.banded(version, band, view.seconds, palette.series(number))
    for number, version in enumerate(view.versions):
        at = view.answers.get(version, ())
        yield _dots(version, palette.series(number)), at, _rows(at, number, len(view.versions))
    for name, (dash, number) in _PERCENTILES.items():
        yield (
            {**lines.line("", name, palette.series(number), dash, 2.0), "xaxis": "x2", "yaxis": "y2", "legend": "legend2"},
            view.seconds,
            view.latencies[name],
        )
    for name, (dash, number) in _ERRORS.items():
        yield (
            {**lines.line("", name, palette.series(number), dash, 2.0), "xaxis": "x3", "yaxis": "y3", "legend": "legend3"},
            view.seconds,
            view.errors[name],
        )


def _dots(version: str, colour: str) -> dict[str, Any]:
    """Single answers, faint, behind the lines."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{version} answers",
        "marker": {"color": colour, "size": 4, "opacity": 0.25},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _rows(at: tuple[float, ...], number: int, of: int) -> lines.Points:
    """A row for each version, from 0 to 100; slightly scattered, so that two answers at one moment are two dots."""
    row = 100.0 * number / (of - 1) if of > 1 else 100.0
    return tuple(round(row + (round(100 * second) * 7 % 11 - 5) * 0.5, 1) for second in at)


def layout(view: View) -> dict[str, Any]:
    """Three charts over one time axis."""
    axis, legend = lines.AXIS, lines.LEGEND
    time = {**axis, "range": list(view.range)}
    return {
        **lines.GROUND,
        "hovermode": "x",
        "xaxis": {**time, "domain": [0.0, 0.54], "anchor": "y", "title": {"text": "seconds"}},
        "yaxis": {**axis, "domain": [0.0, 1.0], "anchor": "x", "range": [-3, 103], "title": {"text": "share of answers, %"}},
        "xaxis2": {**axis, "domain": [0.66, 1.0], "anchor": "y2", "matches": "x", "showticklabels": False},
        "yaxis2": {**axis, "domain": [0.6, 1.0], "anchor": "x2", "rangemode": "tozero", "title": {"text": "latency, ms"}},
        "xaxis3": {**axis, "domain": [0.66, 1.0], "anchor": "y3", "matches": "x", "title": {"text": "seconds"}},
        "yaxis3": {**axis, "domain": [0.0, 0.4], "anchor": "x3", "range": [-3, 103], "title": {"text": "errors, %"}},
        "legend": {**legend, "xanchor": "left", "x": 0.0, "y": 1.1},  # a line of its own, as long as a narrow picture is wide
        "legend2": {**legend, "x": 1.0, "y": 1.02},
        "legend3": {**legend, "orientation": "v", "xanchor": "left", "x": 0.67, "yanchor": "top", "y": 0.4, "font": {"size": 11}},
    }


def describe(view: View) -> str:
    """The picture as text, for screen readers."""
    parts = []
    for version, band in view.versions.items():
        if not view.seconds:
            continue
        seen, low, high = band.observed[-1], band.low[-1], band.high[-1]
        observed = "nothing observed" if seen is None else f"{seen:.1f} % observed (95 % band {low:.1f} to {high:.1f})"
        wanted = "" if band.wanted[-1] is None else f"{band.wanted[-1]:.0f} % wanted, "
        parts.append(f"{version}: {wanted}{observed}")
    for name, points in view.errors.items():
        if points and points[-1]:
            parts.append(f"{name}: {points[-1]:.1f} % of requests")
    return "Share of answers per version since its weights are in force, beside latency and errors of the last seconds. " + (
        "; ".join(parts) + "." if parts else "No load has run yet."
    )
