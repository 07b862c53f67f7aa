"""The picture of who calls whom: workloads as circles, calls as arrows whose width grows with their rate.

The number of traces is fixed: all lines of one width are one trace with gaps, so that edges may come and go in a live figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.measure.topology import OUTSIDE, Edge, Flow, Node, Topology, milliseconds
from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines

BAD: Final = 0.01
"""An edge or a node with at least this share of failed calls is drawn as failing."""
QUIET: Final = palette.INK
_GOOD, _BAD = palette.series(0), palette.series(1)
_FAINT = palette.faint(_GOOD, 0.45)  # so that a label on it can be read
# name, colour, width, dash: an edge is in the last class whose lowest rate it reaches.
_CLASSES: Final = (
    ("no calls now", QUIET, 1.0, "dot", -1.0),
    ("up to 1/s", _FAINT, 2.5, "solid", 1e-9),
    ("1 to 10/s", _FAINT, 5.0, "solid", 1.0),
    ("over 10/s", _FAINT, 8.0, "solid", 10.0),
)
_FAILING: Final = ("some fail", palette.faint(_BAD, 0.5), 6.0, "dash")
_ARROW_AT, _LIFT = 0.84, 0.02
_LABELS_AT: Final = (0.52, 0.56)
"""Positions of a label along its arrow, the best first."""
_LOCK_AT, _SHACKLE = 0.2, 0.017
_COLUMN = 0.34


@dataclass(frozen=True)
class Spot:
    """A node's position: its column from the left, its height from 0 (bottom) to 1."""

    x: float
    y: float


def figure(seen: Topology) -> dict[str, Any]:
    """The whole figure, for `plotly.graph_objects.Figure` or live_figure.made."""
    spots = places(seen)
    return {"data": [{**style, **_data(moving)} for style, moving in series(seen, spots)], "layout": layout(seen)}


def update(live: Any, seen: Topology) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces of `live`, made by `figure`, to `seen`: one message to the browser."""
    with live.batch_update():
        for trace, (_, moving) in zip(live.data, series(seen, places(seen)), strict=True):
            trace.update(_data(moving))
        live.layout.xaxis.range = _range(seen)


def _data(moving: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in moving.items()}


def places(seen: Topology) -> dict[str, Spot]:
    """Callers to the left of the workloads that they call; each column sorted by name from the top."""
    columns: dict[int, list[str]] = {}
    for name, column in _depths(seen).items():
        columns.setdefault(column, []).append(name)
    return {
        name: Spot(float(column), 1 - (number + 0.5) / len(names)) for column, names in columns.items() for number, name in enumerate(names)
    }


def _depths(seen: Topology) -> dict[str, int]:
    """The longest path to each node from a start: OUTSIDE, else a node without callers, else the first by name.

    A call that closes a cycle is ignored.
    """
    called: dict[str, list[str]] = {node.name: [] for node in seen.nodes}
    for edge in seen.edges:
        if edge.source in called and edge.target in called:
            called[edge.source].append(edge.target)
    targets = {target for names in called.values() for target in names}
    order: list[str] = []  # each after all that it calls
    onward: dict[str, list[str]] = {}

    def visit(name: str, way: frozenset[str]) -> None:
        onward[name] = []
        for target in sorted(called[name]):
            if target in way | {name}:
                continue
            if target not in onward:
                visit(target, way | {name})
            onward[name].append(target)
        order.append(name)

    for name in sorted(called, key=lambda name: (name != OUTSIDE, name in targets, name)):
        if name not in onward:
            visit(name, frozenset())
    depths = dict.fromkeys(called, 0)
    for name in reversed(order):
        for target in onward[name]:
            depths[target] = max(depths[target], depths[name] + 1)
    return depths


def series(seen: Topology, spots: dict[str, Spot]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(style, what changes) of each trace, in order: lines by class, arrow heads, locks, labels, nodes."""
    edges = [edge for edge in seen.edges if edge.source in spots and edge.target in spots and edge.source != edge.target]
    for number, (name, colour, width, dash, _) in enumerate(_CLASSES):
        yield _lines(name, colour, width, dash), _paths((edge for edge in edges if _class(edge.flow) == number), spots)
    yield _lines(*_FAILING), _paths((edge for edge in edges if _class(edge.flow) == len(_CLASSES)), spots)
    yield _arrows(edges, spots)
    yield _locks([edge for edge in edges if edge.mutual_tls], spots)
    yield _labels(edges, spots)
    yield _nodes(seen.nodes, spots)


def _class(flow: Flow) -> int:
    if flow.rate and flow.failed >= BAD:
        return len(_CLASSES)
    return max(number for number, (*_, least) in enumerate(_CLASSES) if flow.rate >= least)


def _lines(name: str, colour: str, width: float, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "line": {"color": colour, "width": width, "dash": dash},
        "hoverinfo": "skip",
    }


def _paths(edges: Iterable[Edge], spots: dict[str, Spot]) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for edge in edges:
        start, end = spots[edge.source], spots[edge.target]
        x += [start.x, end.x, None]
        y += [start.y, end.y, None]
    return {"x": tuple(x), "y": tuple(y)}


def _between(edge: Edge, spots: dict[str, Spot], share: float) -> Spot:
    start, end = spots[edge.source], spots[edge.target]
    return Spot(start.x + (end.x - start.x) * share, start.y + (end.y - start.y) * share)


def _arrows(edges: list[Edge], spots: dict[str, Spot]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Heads on the lines. Their angle is right for a picture about 2.4 times as wide as a column is high, as in the layout."""
    at = [_between(edge, spots, _ARROW_AT) for edge in edges]
    angles = [
        90
        - math.degrees(math.atan2(spots[edge.target].y - spots[edge.source].y, (spots[edge.target].x - spots[edge.source].x) * _COLUMN * 2))
        for edge in edges
    ]
    colours = [_BAD if _class(edge.flow) == len(_CLASSES) else _GOOD if edge.flow.rate else QUIET for edge in edges]
    style = {"type": "scatter", "mode": "markers", "name": "arrows", "showlegend": False, "hoverinfo": "text"}
    marker = {"symbol": "arrow", "size": 17, "angle": angles, "color": colours}
    return style, {
        "x": tuple(spot.x for spot in at),
        "y": tuple(spot.y for spot in at),
        "marker": marker,
        "hovertext": tuple(f"{edge.source} → {edge.target}<br>{words(edge.flow)}{'<br>mutual TLS' * edge.mutual_tls}" for edge in edges),
    }


def _locks(edges: list[Edge], spots: dict[str, Spot]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A padlock near the caller is two points: a square, and a ring whose lower half it covers."""
    at = [_between(edge, spots, _LOCK_AT) for edge in edges]
    points = [Spot(spot.x, spot.y + lift) for spot in at for lift in (0.0, _SHACKLE)]  # the legend shows the first
    style = {"type": "scatter", "mode": "markers", "name": "padlock: mutual TLS", "hoverinfo": "text"}
    marker = {"symbol": ["square", "circle-open"] * len(at), "size": [10, 9] * len(at), "color": palette.INK, "line": {"width": 2}}
    return style, {
        "x": tuple(spot.x for spot in points),
        "y": tuple(spot.y for spot in points),
        "marker": marker,
        "hovertext": tuple(
            f"{edge.source} → {edge.target}<br>mutual TLS: both Envoys show a certificate" for edge in edges for _ in range(2)
        ),
    }


def _labels(edges: list[Edge], spots: dict[str, Spot]) -> tuple[dict[str, Any], dict[str, Any]]:
    busy = [edge for edge in edges if edge.flow.rate]
    at = _free(busy, [_between(edge, spots, _LOCK_AT) for edge in edges if edge.mutual_tls], spots)
    style = {
        "type": "scatter",
        "mode": "text",
        "name": "labels",
        "showlegend": False,
        "hoverinfo": "skip",
        "textposition": "top center",
        "textfont": {"size": 12, "color": palette.INK},
    }
    return style, {
        "x": tuple(spot.x for spot in at),
        "y": tuple(spot.y + _LIFT for spot in at),
        "text": tuple(short(edge.flow) for edge in busy),
    }


def _free(edges: list[Edge], taken: list[Spot], spots: dict[str, Spot]) -> list[Spot]:
    """A position for each label, as far as possible from padlocks and from the labels before it. A label is wider than high."""
    found: list[Spot] = []
    for edge in edges:
        ways = [_between(edge, spots, share) for share in _LABELS_AT]

        def room(spot: Spot) -> float:
            return min((max(abs(spot.x - other.x) / 0.4, abs(spot.y - other.y) / 0.06) for other in (*taken, *found)), default=1.0)

        found.append(next((way for way in ways if room(way) >= 1.0), max(ways, key=room)))
    return found


def _nodes(nodes: tuple[Node, ...], spots: dict[str, Spot]) -> tuple[dict[str, Any], dict[str, Any]]:
    style = {
        "type": "scatter",
        "mode": "markers+text",
        "name": "workloads",
        "showlegend": False,
        "hoverinfo": "text",
        "textposition": "bottom center",
        "textfont": {"size": 12, "color": palette.INK},
    }
    colours = [
        QUIET if node.name == OUTSIDE or not node.flow.rate else _BAD if node.flow.failed >= BAD else palette.series(2) for node in nodes
    ]
    symbols = ["diamond" if node.name == OUTSIDE else "circle" if node.counted else "circle-open" for node in nodes]
    return style, {
        "x": tuple(spots[node.name].x for node in nodes),
        "y": tuple(spots[node.name].y for node in nodes),
        "marker": {"size": 24, "color": colours, "symbol": symbols, "line": {"width": 0}},
        "text": tuple(node.name for node in nodes),
        "hovertext": tuple(_hover(node, nodes) for node in nodes),
    }


def _hover(node: Node, nodes: tuple[Node, ...]) -> str:
    if node.name == OUTSIDE:
        unseen = [each.name for each in nodes if not each.counted]
        others = f",<br>or {', '.join(unseen)}, whose calls are not counted" if unseen else ""
        return f"calls that no {'counted ' * bool(unseen)}pod of this namespace made:<br>the ingress gateway, another namespace{others}"
    if node.counted:
        return f"{node.name}<br>{words(node.flow)}"
    why = "its Envoy keeps no counters of calls" if node.sidecar else "no sidecar"
    return f"{node.name}: {why};<br>as its callers' Envoys count: {words(node.flow)}"


def short(flow: Flow) -> str:
    """`12/s · p99 18 ms`, and the share that failed if there is one."""
    parts = [f"{flow.rate:.1f}/s" if flow.rate < 10 else f"{flow.rate:.0f}/s"]  # noqa: PLR2004 - two digits say enough
    if flow.failed >= BAD:
        parts.append(f"{flow.failed:.0%} failed")
    if flow.p99 is not None:
        parts.append(f"p99 {milliseconds(flow.p99)} ms")
    return " · ".join(parts)


def words(flow: Flow) -> str:
    """All numbers of a flow, for the tooltip."""
    if not flow.rate:
        return "no calls now"
    times = (
        ""
        if flow.p50 is None or flow.p99 is None
        else f"<br>half within {milliseconds(flow.p50)} ms, 99 % within {milliseconds(flow.p99)} ms"
    )
    return f"{flow.rate:.1f} calls per second, {flow.failed:.1%} failed{times}"


def _range(seen: Topology) -> list[float]:
    last = max((spot.x for spot in places(seen).values()), default=1.0)
    return [-0.35, max(last, 1.0) + 0.35]


def layout(seen: Topology) -> dict[str, Any]:
    """No axes."""
    axis = {"visible": False, "fixedrange": True}
    return {
        **lines.GROUND,
        "height": 440,
        "margin": {"l": 8, "r": 8, "t": 40, "b": 16},
        "hovermode": "closest",
        "xaxis": {**axis, "range": _range(seen)},
        "yaxis": {**axis, "range": [-0.08, 1.05]},
        "legend": {"orientation": "h", "x": 0.0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
    }


def describe(seen: Topology) -> str:
    """The picture as text, for screen readers."""
    busy = [f"{edge.source} calls {edge.target} {short(edge.flow)}{' · mTLS' * edge.mutual_tls}" for edge in seen.edges if edge.flow.rate]
    counted = any(node.counted for node in seen.nodes)
    quiet = "There are no calls at the moment." if counted or not seen.nodes else "No Envoy here counts calls."
    return " ".join([f"Who calls whom in {seen.namespace}.", "; ".join(busy) + "." if busy else quiet, *seen.gaps()])
