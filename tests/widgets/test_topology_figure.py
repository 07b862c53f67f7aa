"""Golden figures of who calls whom."""

from __future__ import annotations

import operator

import golden
import plotly.graph_objects as go
import pytest

from meshcourse.measure.topology import Edge, Flow, Node, Topology
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import topology as picture

BUSY = Flow(12.0, 0.0, 4.0, 18.0)


def graph(*edges: tuple[str, str, Flow]) -> Topology:
    names = sorted({name for source, target, _ in edges for name in (source, target)}, key=lambda name: (name != "outside", name))
    into = {name: Flow(sum(flow.rate for _, target, flow in edges if target == name)) for name in names}
    nodes = tuple(Node(name, name.rpartition("-")[0] or name, name.rpartition("-")[2], into[name]) for name in names)
    return Topology("bookinfo", 5.0, nodes, tuple(Edge(*edge, mutual_tls=edge[0] != "outside") for edge in edges))


BOOKINFO = graph(
    ("outside", "productpage-v1", BUSY),
    ("productpage-v1", "details-v1", BUSY),
    ("productpage-v1", "reviews-v1", Flow(0.5, 0.0, 1.0, 2.0)),
    ("productpage-v1", "reviews-v2", Flow(4.0, 0.25, 5.0, 20.0)),
    ("productpage-v1", "reviews-v3", Flow()),
    ("reviews-v2", "ratings-v1", Flow(4.0, 0.0, 1.0, 3.0)),
    ("reviews-v3", "ratings-v1", Flow()),
)
GRAPHS = {
    "topology_empty": Topology("bookinfo", 0.0, (), ()),
    "topology_bookinfo": BOOKINFO,
    "topology_back": graph(("outside", "b-v1", BUSY), ("b-v1", "c-v1", BUSY), ("c-v1", "a-v1", BUSY), ("a-v1", "b-v1", Flow())),
    "topology_circle": graph(("a-v1", "b-v1", BUSY), ("b-v1", "a-v1", BUSY), ("b-v1", "b-v1", BUSY)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_figure_is_as_reviewed(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(GRAPHS[name]))


def test_callers_stand_left_of_those_whom_they_call() -> None:
    columns = {name: spot.x for name, spot in picture.places(BOOKINFO).items()}
    assert columns["outside"] == 0
    assert columns["productpage-v1"] == 1
    assert {columns[name] for name in ("details-v1", "reviews-v1", "reviews-v2", "reviews-v3")} == {2}
    assert columns["ratings-v1"] == 3


def test_a_call_back_does_not_turn_the_picture_round() -> None:
    columns = {name: spot.x for name, spot in picture.places(GRAPHS["topology_back"]).items()}
    assert columns == {"outside": 0, "b-v1": 1, "c-v1": 2, "a-v1": 3}


def test_no_two_nodes_stand_on_one_spot() -> None:
    for seen in GRAPHS.values():
        spots = list(picture.places(seen).values())
        assert len(spots) == len(set(spots)) == len(seen.nodes)


def test_a_live_figure_moved_on_shows_what_a_new_one_would_and_keeps_its_traces() -> None:
    live = live_figure.made(picture.figure(GRAPHS["topology_empty"]))
    traces = live.data
    for name in ("topology_bookinfo", "topology_circle", "topology_empty"):
        picture.update(live, GRAPHS[name])
        wanted = go.Figure(picture.figure(GRAPHS[name]))
        for moved, new in zip(live.data, wanted.data, strict=True):
            assert (tuple(moved.x), tuple(moved.y)) == (tuple(new.x), tuple(new.y))
            assert moved.hovertext == new.hovertext
            assert moved.text == new.text
            assert moved.marker.color == new.marker.color
        assert live.layout.xaxis.range == wanted.layout.xaxis.range
    assert all(map(operator.is_, live.data, traces))


def test_failing_calls_differ_by_more_than_colour() -> None:
    lines = [trace for trace in picture.figure(BOOKINFO)["data"] if trace["mode"] == "lines"]
    failing = next(trace for trace in lines if trace["name"] == "some fail")
    assert failing["x"] == [1.0, 2.0, None]
    assert failing["line"]["dash"] == "dash"
    assert {trace["line"]["dash"] for trace in lines if trace["name"] != "some fail"} == {"solid", "dot"}
    labels = next(trace for trace in picture.figure(BOOKINFO)["data"] if trace["name"] == "labels")
    assert "4.0/s · 25% failed · p99 20 ms" in labels["text"]


def test_the_picture_is_told_in_words_too() -> None:
    words = picture.describe(BOOKINFO)
    assert "productpage-v1 calls reviews-v2 4.0/s · 25% failed · p99 20 ms" in words
    assert "reviews-v3" not in words
    assert "There are no calls" in picture.describe(GRAPHS["topology_empty"])
