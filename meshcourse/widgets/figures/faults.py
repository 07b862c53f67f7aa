"""Injected faults over time: the share wanted and the share observed with its band, for callers with the header and without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines
from meshcourse.widgets.models import faults
from meshcourse.widgets.models.faults import View

_COLOURS: Final = {faults.ABORTED: palette.series(1), faults.DELAYED: palette.series(0)}


def figure(view: View) -> dict[str, Any]:
    """The whole figure, for `plotly.graph_objects.Figure` or live_figure.made."""
    return lines.drawn(series(view), layout(view))


def update(live: Any, view: View) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces of `live`, made by `figure`, to `view`: one message to the browser."""
    with lines.moving(live, series(view)) as now:
        now.xaxis.range = view.range


def series(view: View) -> Iterator[lines.Trace]:
    """(style, x, y) of each trace, in order: the groups side by side, both faults in each."""
    for number, group in enumerate(faults.GROUPS):
        found = view.groups[group]
        axes = {} if number == 0 else {"xaxis": "x2", "yaxis": "y2"}
        for fault, band in found.versions.items():
            for style, x, y in lines.banded(fault, band, found.seconds, _COLOURS[fault]):
                yield {**style, "showlegend": number == 0 and style.get("showlegend", True), "legendgroup": style["name"], **axes}, x, y


def layout(view: View) -> dict[str, Any]:
    """Two charts over one time axis."""
    heading = {"showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "y": 1.0}
    axis, percent = lines.AXIS, {"range": [-3, 103]}
    seconds = {"title": {"text": "seconds"}}
    return {
        **lines.GROUND,
        "height": 340,
        "margin": {"l": 48, "r": 12, "t": 76, "b": 40},
        "hovermode": "x",
        "annotations": [
            {**heading, "x": 0.0, "text": "requests with the header"},
            {**heading, "x": 0.56, "text": "requests without it"},
        ],
        "xaxis": {**axis, "domain": [0.0, 0.46], "anchor": "y", "range": list(view.range), **seconds},
        "yaxis": {**axis, "anchor": "x", **percent, "title": {"text": "share, %"}},
        "xaxis2": {**axis, "domain": [0.56, 1.0], "anchor": "y2", "matches": "x", **seconds},
        "yaxis2": {**axis, "anchor": "x2", **percent},
        "legend": {**lines.LEGEND, "xanchor": "left", "x": 0.0, "y": 1.08},
    }


def describe(view: View) -> str:
    """The picture as text, for screen readers."""
    parts = []
    for group, found in view.groups.items():
        for fault, band in found.versions.items():
            if found.seconds and band.observed[-1] is not None:
                edges = f"95 % band {band.low[-1]:.1f} to {band.high[-1]:.1f}"
                parts.append(f"{group}, {fault}: {band.wanted[-1]:.0f} % wanted, {band.observed[-1]:.1f} % observed ({edges})")
    return "Shares of aborted and of delayed requests over the last minute. " + (
        "; ".join(parts) + "." if parts else "No load has run yet."
    )
