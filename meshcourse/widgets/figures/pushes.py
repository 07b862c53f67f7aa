"""The push panel's picture: for each change, how many milliseconds it took to each Envoy.

The number of traces depends only on the proxies.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines

WAIT: Final = 100.0
"""Milliseconds that istiod waits for more changes before it pushes (PILOT_DEBOUNCE_AFTER's default)."""
ROOM: Final = 5
"""Changes for which the axis has room at first."""
_SYMBOLS: Final = ("circle", "diamond", "square", "cross", "x", "triangle-up")
_LEAST: Final = 250.0


@dataclass(frozen=True)
class View:
    """Milliseconds by proxy, one for each change so far; None where it did not arrive."""

    arrivals: Mapping[str, tuple[float | None, ...]]

    @property
    def changes(self) -> int:
        """The number of changes."""
        return max(map(len, self.arrivals.values()), default=0)


def figure(view: View) -> dict[str, Any]:
    """The whole figure, for `plotly.graph_objects.Figure` or live_figure.made."""
    return lines.drawn(traces(view), layout(view))


def update(live: Any, view: View) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces of `live`, made by `figure` for the same proxies, to `view`."""
    made = layout(view)
    with lines.moving(live, traces(view)) as now:
        now.xaxis.range, now.yaxis.range = made["xaxis"]["range"], made["yaxis"]["range"]


def traces(view: View) -> Iterator[lines.Trace]:
    """The line of istiod's own waiting, then the dots of each proxy."""
    yield lines.line("", "istiod waits for more changes", palette.INK, "dash", 1.5), (0.0, max(ROOM, view.changes) + 1.0), (WAIT, WAIT)
    numbers = tuple(float(number) for number in range(1, view.changes + 1))
    for place, (proxy, found) in enumerate(view.arrivals.items()):
        style = {
            "type": "scatter",
            "mode": "markers",
            "name": proxy,
            "marker": {"color": palette.series(place), "size": 10, "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
            "hovertemplate": "%{y:.0f} ms",
        }
        yield style, numbers, found


def layout(view: View) -> dict[str, Any]:
    """One chart."""
    highest = max((value for found in view.arrivals.values() for value in found if value is not None), default=0.0)
    return {
        **lines.GROUND,
        "height": 300,
        "xaxis": {**lines.AXIS, "title": {"text": "change"}, "range": [0.4, max(ROOM, view.changes) + 0.6], "dtick": 1},
        "yaxis": {**lines.AXIS, "title": {"text": "ms from stored to held"}, "range": [0, max(_LEAST, 1.15 * highest)]},
        "legend": {**lines.LEGEND, "x": 1.0, "y": 1.02},
    }


def describe(view: View) -> str:
    """The picture as text, for screen readers."""
    parts = []
    for proxy, found in view.arrivals.items():
        if held := [value for value in found if value is not None]:
            parts.append(f"{proxy}: {min(held):.0f} to {max(held):.0f} ms, median {statistics.median(held):.0f} ms")
    changes = "1 change" if view.changes == 1 else f"{view.changes} changes"
    return f"{changes}. {'; '.join(parts)}." if parts else "No change has been pushed yet."
