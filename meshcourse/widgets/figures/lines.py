"""Parts that the course's figures share: lines, lines with a confidence band, and the style of axes and background."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from meshcourse.widgets import palette
from meshcourse.widgets.models.history import Band

Points = tuple[float | None, ...]
Trace = tuple[dict[str, Any], tuple[float, ...], Points]
"""(style, x, y)."""
Traces = Iterable[tuple[dict[str, Any], Sequence[object], Sequence[object]]]

AXIS = {"gridcolor": palette.GRID, "zerolinecolor": palette.GRID, "linecolor": palette.GRID, "fixedrange": True}
LEGEND = {"orientation": "h", "traceorder": "normal", "bgcolor": "rgba(0,0,0,0)", "yanchor": "bottom", "xanchor": "right"}
GROUND = {
    "template": {},
    "autosize": True,
    "height": 400,
    "margin": {"l": 48, "r": 12, "t": 56, "b": 40},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": palette.INK, "size": 12},
    "uirevision": "meshcourse",
}
"""Transparent background and grey text, for both the light and the dark JupyterLab theme."""


def drawn(traces: Traces, layout: dict[str, Any]) -> dict[str, Any]:
    """A whole figure of (style, x, y) for each trace, for `plotly.graph_objects.Figure` or live_figure.made."""
    return {"data": [{**style, "x": list(x), "y": list(y)} for style, x, y in traces], "layout": layout}


@contextlib.contextmanager
def moving(live: Any, traces: Traces) -> Iterator[Any]:  # noqa: ANN401 - plotly has no types
    """Update the traces of `live`, made by `drawn` from the same styles; changes to the yielded layout go into the same message."""
    with live.batch_update():
        for trace, (_, x, y) in zip(live.data, traces, strict=True):
            trace.x, trace.y = x, y
        yield live.layout


def line(version: str, what: str, colour: str, dash: str, width: float) -> dict[str, Any]:
    """The style of one line over time."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{version} {what}".strip(),
        "line": {"color": colour, "dash": dash, "width": width},
        "hovertemplate": "%{y:.1f}",
        "connectgaps": False,
    }


def banded(name: str, band: Band, seconds: tuple[float, ...], colour: str, *, wanted: str = "wanted") -> Iterator[Trace]:
    """Four traces: the band's lower edge, its upper edge with the fill between, the wanted value in steps, and the observed value."""
    edge = {**line(name, "", colour, "solid", 0.0), "hoverinfo": "skip", "showlegend": False}
    at, low, high = _without_gaps(seconds, band)
    yield {**edge, "name": f"{name} low"}, at, low
    yield {**edge, "name": f"{name} band", "fill": "tonexty", "fillcolor": palette.faint(colour)}, at, high
    steps = line(name, wanted, colour, "dash", 1.5)
    yield {**steps, "line": {**steps["line"], "shape": "hv"}}, seconds, band.wanted
    yield line(name, "observed", colour, "solid", 2.5), seconds, band.observed


def _without_gaps(seconds: tuple[float, ...], band: Band) -> tuple[tuple[float, ...], Points, Points]:
    """Where the value is unknown the band has no width: plotly would fill across the gap between two runs."""
    points: list[tuple[float, float, float]] = []
    gap = False
    for at, low, high in zip(seconds, band.low, band.high, strict=True):
        if low is None or high is None:
            gap = bool(points)
            continue
        if gap:
            before, *edges = points[-1]
            points += [(before, sum(edges) / 2, sum(edges) / 2), (at, (low + high) / 2, (low + high) / 2)]
            gap = False
        points.append((at, low, high))
    return tuple(at for at, _, _ in points), tuple(low for _, low, _ in points), tuple(high for *_, high in points)
