"""The retry panel's picture: success beside the formula's prediction, the tries that requests needed, and the load at each hop.

The number of traces never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines
from meshcourse.widgets.models.retries import SUCCEEDED, View


def figure(view: View) -> dict[str, Any]:
    """The whole figure, for `plotly.graph_objects.Figure` or live_figure.made."""
    return lines.drawn(traces(view), layout(view))


def update(live: Any, view: View) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces of `live`, made by `figure`, to `view`: one message to the browser."""
    with lines.moving(live, traces(view)) as now:
        now.xaxis.range = view.success.range
        now.yaxis3.range = (0, top(view))


def traces(view: View) -> Iterator[tuple[dict[str, Any], Sequence[float | str], Sequence[float | None]]]:
    """(style, x, y) of each trace, in order."""
    yield from lines.banded(SUCCEEDED, view.success.versions[SUCCEEDED], view.success.seconds, palette.series(2), wanted="predicted")
    for bars, axes, colour in ((view.tries, {"xaxis": "x2", "yaxis": "y2"}, 0), (view.hops, {"xaxis": "x3", "yaxis": "y3"}, 1)):
        names = [bar.name for bar in bars]
        first = colour == 0
        yield (
            {"type": "bar", "name": "observed", "marker": faded(palette.series(colour)), "showlegend": False, **axes},
            names,
            [bar.observed for bar in bars],
        )
        marks = {"symbol": "line-ew-open", "size": 22, "color": palette.INK, "line": {"width": 3}}
        marker = {"type": "scatter", "mode": "markers", "name": "predicted", "marker": marks, "showlegend": first, "legend": "legend2"}
        yield {**marker, **axes}, names, [bar.predicted for bar in bars]


def faded(colour: str) -> dict[str, Any]:
    """A bar's style: pale enough for the grey mark across it to be visible, with a visible edge."""
    return {"color": palette.faint(colour, 0.45), "line": {"color": colour, "width": 1.5}}


def top(view: View) -> float:
    """The upper end of the hops' axis: a little above the highest of them, and at least 3, so that small values look small."""
    return 1.1 * max([3.0, *(value for bar in view.hops for value in (bar.observed, bar.predicted) if value is not None)])


def layout(view: View) -> dict[str, Any]:
    """Success over time on the left; tries above and hops below on the right."""
    bars = {**lines.AXIS, "type": "category"}
    return {
        **lines.GROUND,
        "hovermode": "closest",
        "bargap": 0.35,
        "xaxis": {**lines.AXIS, "range": list(view.success.range), "domain": [0.0, 0.52], "anchor": "y", "title": {"text": "seconds"}},
        "yaxis": {**lines.AXIS, "domain": [0.0, 1.0], "anchor": "x", "range": [-3, 103], "title": {"text": "requests that succeed, %"}},
        "xaxis2": {**bars, "domain": [0.62, 1.0], "anchor": "y2", "title": {"text": "tries at the gateway"}},
        "yaxis2": {**lines.AXIS, "domain": [0.62, 1.0], "anchor": "x2", "range": [0, 103], "title": {"text": "requests, %"}},
        "xaxis3": {**bars, "domain": [0.62, 1.0], "anchor": "y3", "title": {"text": "arrivals for one of a user"}},
        "yaxis3": {**lines.AXIS, "domain": [0.0, 0.36], "anchor": "x3", "range": [0, top(view)], "title": {"text": "times"}},
        "legend": {**lines.LEGEND, "xanchor": "left", "x": 0.0, "y": 1.02},  # so that a narrow picture stays in place
        "legend2": {**lines.LEGEND, "x": 1.0, "y": 1.02},
    }


def describe(view: View) -> str:
    """The picture as text, for screen readers."""
    if not view.success.seconds or view.success.versions[SUCCEEDED].observed[-1] is None:
        return "Success over the last minute beside the prediction 1 - p^n, tries per request, and load at each hop. No load has run yet."
    band = view.success.versions[SUCCEEDED]
    foreseen = "" if band.wanted[-1] is None else f", {band.wanted[-1]:.1f} % predicted"
    parts = [f"{band.observed[-1]:.1f} % succeed (95 % band {band.low[-1]:.1f} to {band.high[-1]:.1f}){foreseen}"]
    parts += [f"{bar.observed:.0f} % take {_tries(bar.name)}" for bar in view.tries if bar.observed]
    parts += [f"{bar.observed:.2f} arrive at {bar.name} for each that a user sends" for bar in view.hops[1:] if bar.observed is not None]
    return "; ".join(parts) + "."


def _tries(name: str) -> str:
    return "1 try" if name == "1" else f"{name} tries"
