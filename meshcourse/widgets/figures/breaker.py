"""The breaker panel's picture: what callers got beside what Envoy counted, and below them which endpoints were in use or ejected.

The order of traces is the order of `series`, and never changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines
from meshcourse.widgets.models import breaker
from meshcourse.widgets.models.breaker import View

Points = tuple[float | str | None, ...]
# One colour and one pattern for each kind, so that areas can be distinguished without colours too.
_LOOKS: Final = {
    breaker.ANSWERED: (palette.series(0), ""),
    breaker.REFUSED: (palette.series(1), "/"),
    breaker.BROKEN: (palette.series(3), "x"),
    breaker.NOBODY: (palette.series(4), "."),
    breaker.OTHER: (palette.INK, "-"),
}


def figure(view: View) -> dict[str, Any]:
    """The whole figure, for `plotly.graph_objects.Figure` or live_figure.made."""
    return lines.drawn(series(view), layout(view))


def update(live: Any, view: View) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces of `live`, made by `figure`, to `view`: one message to the browser."""
    with lines.moving(live, series(view)) as now:
        now.xaxis.range = view.range
        now.yaxis3.categoryarray = view.names


def series(view: View) -> Iterator[tuple[dict[str, Any], Points, Points]]:
    """(style, x, y) of each trace, in order."""
    for kind in breaker.KINDS:
        yield _area(kind, "", shown=True), view.seconds, view.got[kind]
    for kind in breaker.KINDS:
        yield _area(kind, "2", shown=False), view.seconds, view.counted[kind]
    yield _marks("in use", palette.series(0), "square"), *_columns(view.inside)
    yield _marks("ejected", palette.series(1), "x-thin"), *_columns(view.outside)


def _columns(marks: tuple[tuple[float, str], ...]) -> tuple[Points, Points]:
    return tuple(at for at, _ in marks), tuple(name for _, name in marks)


def _area(kind: str, axis: str, *, shown: bool) -> dict[str, Any]:
    colour, pattern = _LOOKS[kind]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": kind,
        "legendgroup": kind,
        "showlegend": shown,
        "stackgroup": f"one{axis}",
        "line": {"color": colour, "width": 1.0},
        "fillcolor": palette.faint(colour, 0.45) if colour.startswith("#") else colour,
        "fillpattern": {"shape": pattern, "size": 6, "solidity": 0.25, "fillmode": "overlay"},
        "hovertemplate": "%{y:.1f}",
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
    }


def _marks(name: str, colour: str, symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "marker": {"color": colour, "symbol": symbol, "size": 7, "line": {"color": colour, "width": 2 if symbol == "x-thin" else 0}},
        "hovertemplate": "%{y}",
        "xaxis": "x3",
        "yaxis": "y3",
        "legend": "legend2",
    }


def layout(view: View) -> dict[str, Any]:
    """Two charts side by side above the line of the endpoints."""
    axis, legend = lines.AXIS, {**lines.LEGEND, "xanchor": "left", "x": 0.0}
    heading = {"showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "y": 1.0}
    return {
        **lines.GROUND,
        "height": 440,
        "margin": {"l": 48, "r": 12, "t": 72, "b": 40},
        "hovermode": "x",
        "annotations": [
            {**heading, "x": 0.0, "text": "per second: callers got"},
            {**heading, "x": 0.54, "text": "Envoy counted"},
        ],
        "xaxis": {**axis, "domain": [0.0, 0.46], "anchor": "y", "range": list(view.range)},
        "yaxis": {**axis, "domain": [0.42, 1.0], "anchor": "x", "rangemode": "tozero"},
        "xaxis2": {**axis, "domain": [0.54, 1.0], "anchor": "y2", "matches": "x"},
        "yaxis2": {**axis, "domain": [0.42, 1.0], "anchor": "x2", "rangemode": "tozero"},
        "xaxis3": {**axis, "domain": [0.0, 1.0], "anchor": "y3", "matches": "x", "title": {"text": "seconds"}},
        "yaxis3": {
            **axis,
            "domain": [0.0, 0.26],
            "anchor": "x3",
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(view.names),
            "automargin": True,
        },
        "legend": {**legend, "y": 1.06},
        "legend2": {**legend, "y": 0.27},
    }


def describe(view: View) -> str:
    """The picture as text, for screen readers."""
    head = "Requests per second by outcome over the last minute, as callers got them and as Envoy counted them; each endpoint's state. "
    parts = []
    for title, series_by_kind in (("callers got", view.got), ("Envoy counted", view.counted)):
        now = [f"{kind} {points[-1]:.1f}" for kind, points in series_by_kind.items() if points and points[-1]]
        if now:
            parts.append(f"{title} {', '.join(now)} a second")
    last = view.seconds[-1] if view.seconds else None
    out = [name for at, name in view.outside if at == last]
    parts += [f"ejected now: {', '.join(out)}"] if out else []
    return head + ("; ".join(parts) + "." if parts else "No load has run yet.")
