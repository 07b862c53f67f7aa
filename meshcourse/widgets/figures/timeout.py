"""One request as a waterfall, hop by hop, and beside it how long the last ones took.

Times count from the moment the request was sent. The sender's clock may differ from the proxies', so its bar is centred around the first
hop's; the hops are at the times of their own clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.measure.request_hops import Journey, Place
from meshcourse.widgets import palette
from meshcourse.widgets.figures import lines

SHOWN: Final = 20
"""Journeys in the right-hand chart."""
THINNEST: Final = 0.0005
"""Seconds. Envoy logs whole milliseconds, and plotly draws neither a bar of no width nor its text."""
ROOM: Final = 1.35
"""The waterfall's width, in longest bars: the words beside a bar need room in a narrow window too."""
SENDER: Final = "you"
_GAVE_UP, _LEFT, _GOOD, _BAD = palette.series(1), palette.series(3), palette.series(0), palette.series(4)


@dataclass(frozen=True)
class Bar:
    """One row of the waterfall, in seconds since the request was sent."""

    name: str
    start: float
    seconds: float
    words: str
    colour: str


def figure(journeys: Sequence[Journey], places: Sequence[Place], worker: str) -> dict[str, Any]:
    """The whole figure; `worker` is the name of the last server."""
    traces = [{**style, **content} for style, content in series(journeys, worker)]
    return {"data": traces, "layout": layout(journeys, places, worker)}


def update(live: Any, journeys: Sequence[Journey], places: Sequence[Place], worker: str) -> None:  # noqa: ANN401 - a live figure: plotly has no types
    """Update the traces of `live` to the newest journeys: one message to the browser."""
    with live.batch_update():
        for trace, (_, content) in zip(live.data, series(journeys, worker), strict=True):
            trace.update(content)
        moved = layout(journeys, places, worker)
        live.layout.xaxis.range = moved["xaxis"]["range"]
        live.layout.xaxis2.range = moved["xaxis2"]["range"]
        live.layout.yaxis2.range = moved["yaxis2"]["range"]


def bars(journey: Journey) -> tuple[Bar, ...]:
    """The rows for one journey, from its sender to the server at the end."""
    if not journey.hops:
        return (Bar(SENDER, 0.0, journey.seconds, _words(journey.status, (), journey.seconds), _colour(journey.status, ())),)
    first = journey.hops[0]
    sent = first.started - max(0.0, journey.seconds - first.seconds) / 2
    rows = [Bar(SENDER, 0.0, journey.seconds, _words(journey.status, (), journey.seconds), _colour(journey.status, ()))]
    for hop in journey.hops:
        words, colour = _words(hop.code, hop.flags, hop.seconds), _colour(hop.code, hop.flags)
        rows.append(Bar(hop.place.name, round(max(0.0, hop.started - sent), 4), hop.seconds, words, colour))
    return tuple(rows)


def work(journey: Journey, worker: str) -> Bar:
    """The time that the last server was asked to take: it does not learn that its callers gave up."""
    last = journey.hops[-1] if journey.hops else None
    start = 0.0 if last is None else bars(journey)[-1].start
    cut = journey.seconds < journey.asked
    words = f"takes {journey.asked:g} s" + (", for nobody" if cut else "")
    return Bar(worker, start, journey.asked, words, palette.INK)


def series(journeys: Sequence[Journey], worker: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(style, content) of each trace, in order."""
    last = journeys[-1] if journeys else None
    rows = bars(last) if last else ()
    yield (
        {"type": "bar", "orientation": "h", "name": "hops", "showlegend": False, "textposition": "auto", "hovertemplate": "%{y}: %{text}"},
        {
            "y": [row.name for row in rows],
            "base": [row.start for row in rows],
            "x": [max(row.seconds, THINNEST) for row in rows],
            "text": [row.words for row in rows],
            "marker": {"color": [row.colour for row in rows]},
        },
    )
    asked = work(last, worker) if last else None
    yield (
        {
            "type": "bar",
            "orientation": "h",
            "name": "work",
            "showlegend": False,
            "textposition": "auto",
            "hovertemplate": "%{y}: %{text}",
            "textfont": {"color": palette.INK},
            "marker": {"color": "rgba(0,0,0,0)", "line": {"color": palette.INK, "width": 1.5}, "pattern": {"shape": "/", "solidity": 0.1}},
        },
        {
            "y": [asked.name] if asked else [],
            "base": [asked.start] if asked else [],
            "x": [asked.seconds] if asked else [],
            "text": [asked.words] if asked else [],
        },
    )
    shown = journeys[-SHOWN:]
    numbers = [journey.number for journey in shown]
    for name, values, colour, dash in (
        ("asked of the server", [journey.asked for journey in shown], palette.INK, "dot"),
        ("the answer or the first timeout", [journey.expected for journey in shown], palette.series(2), "dash"),
    ):
        style = {**lines.line("", name, colour, dash, 1.5), "hovertemplate": "%{y:.2f} s", "xaxis": "x2", "yaxis": "y2"}
        style["line"] = {**style["line"], "shape": "hvh"}
        yield style, {"x": numbers, "y": values}
    yield (
        {
            "type": "scatter",
            "mode": "markers",
            "name": "you waited",
            "hovertemplate": "%{y:.2f} s, %{text}",
            "xaxis": "x2",
            "yaxis": "y2",
        },
        {
            "x": numbers,
            "y": [round(journey.seconds, 3) for journey in shown],
            "text": [str(journey.status or "no answer") for journey in shown],
            "marker": {
                "size": 10,
                "color": [_colour(journey.status, ()) for journey in shown],
                "symbol": ["circle" if _good(journey.status) else "x" for journey in shown],
            },
        },
    )


def layout(journeys: Sequence[Journey], places: Sequence[Place], worker: str) -> dict[str, Any]:
    """The waterfall on the left, the last journeys on the right."""
    last = journeys[-1] if journeys else None
    longest = max((last.asked, last.seconds, 1.0)) if last else 1.0
    shown = journeys[-SHOWN:]
    highest = max([1.0, *(max(journey.asked, journey.seconds) for journey in shown)])
    begin = shown[0].number if shown else 1
    heading = {"showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "y": 1.0}
    return {
        **lines.GROUND,
        "height": 360,
        "margin": {"l": 48, "r": 12, "t": 72, "b": 40},
        "barmode": "overlay",
        "bargap": 0.25,
        "hovermode": "closest",
        "annotations": [
            {**heading, "x": 0.0, "text": "the last request, hop by hop"},
            {**heading, "x": 1.0, "xanchor": "right", "text": "last requests, s"},
        ],
        "xaxis": {
            **lines.AXIS,
            "domain": [0.0, 0.58],
            "anchor": "y",
            "range": [0.0, round(ROOM * longest, 3)],
            "title": {"text": "seconds"},
        },
        "yaxis": {
            **lines.AXIS,
            "domain": [0.0, 1.0],
            "anchor": "x",
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [SENDER, *(place.name for place in places), worker],
            "autorange": "reversed",
            "automargin": True,
        },
        "xaxis2": {
            **lines.AXIS,
            "domain": [0.71, 1.0],
            "anchor": "y2",
            "range": [begin - 0.5, max(begin + 4.5, shown[-1].number + 0.5 if shown else 0)],
            "title": {"text": "request"},
            "tickformat": "d",
        },
        "yaxis2": {
            **lines.AXIS,
            "domain": [0.0, 1.0],
            "anchor": "x2",
            "range": [0.0, round(1.1 * highest, 3)],
        },
        "legend": {**lines.LEGEND, "x": 1.0, "y": 1.08},
    }


def describe(journeys: Sequence[Journey]) -> str:
    """The picture as text, for screen readers."""
    if not journeys:
        return "A waterfall of the last request, hop by hop. No request has been sent yet."
    last = journeys[-1]
    parts = [
        f"Request {last.number}: {last.status or 'no answer'} after {last.seconds:.2f} s; the server was asked to take {last.asked:g} s"
    ]
    parts += [f"{hop.place.name} {_words(hop.code, hop.flags, hop.seconds)}" for hop in last.hops]
    return "; ".join(parts) + "."


def verdict(journey: Journey) -> str:
    """Which hop decided how long it took, in one sentence."""
    wait = f"<b>{journey.status or 'no answer'}</b> after {journey.seconds:.2f} s"
    quitter = journey.quitter
    if quitter is not None:
        return f"{wait}: {quitter.place.name} gave up (UT) after {quitter.seconds:.2f} s; the server takes {journey.asked:g} s"
    return f"{wait}: no hop gave up; the server took {journey.asked:g} s" if _good(journey.status) else wait


def _words(code: int, flags: Sequence[str], seconds: float) -> str:
    return " ".join(filter(None, (str(code) if code else "no answer", ",".join(flags), f"{seconds:.2f} s")))


def _good(code: int) -> bool:
    return 0 < code < 400  # noqa: PLR2004 - HTTP's errors begin at 400


def _colour(code: int, flags: Sequence[str]) -> str:
    """Orange for the hop that gave up, pink where the caller gave up, yellow for an error passed on, blue for the rest."""
    if "UT" in flags:
        return _GAVE_UP
    if "DC" in flags or not code:
        return _LEFT
    return _GOOD if _good(code) else _BAD
