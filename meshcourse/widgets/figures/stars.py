"""Bookinfo's stars over many requests: one mark for each answer in its order, and how many of each kind there were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines

# kind -> mark, colour. Black stars are grey with an edge, since black is invisible on a dark page; each kind also has its own row.
_MARKS: Final = {"red": ("star", palette.series(1)), "black": ("star", palette.INK), "none": ("circle-open", palette.series(0))}
_FAILED: Final = ("x", palette.series(3))


def figure(seen: Sequence[str]) -> dict[str, Any]:
    """On the left the answers in their order, on the right the counts; each failure is a kind of its own, named by its code."""
    kinds = [*(kind for kind in sorted({*seen}) if kind not in _MARKS), *_MARKS]
    counts = Counter(seen)
    marks = [_row(kind, [number for number, each in enumerate(seen, 1) if each == kind]) for kind in kinds]
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "how many",
        "x": [counts[kind] for kind in kinds],
        "y": kinds,
        "text": [f"{counts[kind]} ({counts[kind] / len(seen):.0%})" if seen else "0" for kind in kinds],
        "textposition": "auto",
        "marker": {"color": [palette.faint(_MARKS.get(kind, _FAILED)[1], 0.6) for kind in kinds]},
        "xaxis": "x2",
        "yaxis": "y",
        "hoverinfo": "skip",
    }
    return {"data": [*marks, bars], "layout": _layout(len(seen))}


def _row(kind: str, at: list[int]) -> dict[str, Any]:
    symbol, colour = _MARKS.get(kind, _FAILED)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "x": at,
        "y": [kind] * len(at),
        "marker": {"symbol": symbol, "color": colour, "size": 10},
        "hovertemplate": "answer %{x}: %{y}<extra></extra>",
    }


def _layout(n: int) -> dict[str, Any]:
    return {
        **lines.GROUND,
        "height": 220,
        "margin": {"l": 60, "r": 12, "t": 12, "b": 40},
        "showlegend": False,
        "xaxis": {**lines.AXIS, "domain": [0.0, 0.68], "range": [0, n + 1], "title": {"text": "answers in their order"}},
        "xaxis2": {**lines.AXIS, "domain": [0.74, 1.0], "rangemode": "tozero", "anchor": "y", "title": {"text": "how many"}},
        "yaxis": {**lines.AXIS, "type": "category", "title": {"text": "stars"}},
    }
