"""The waterfall's golden figures."""

from __future__ import annotations

import golden
import plotly.graph_objects as go
import pytest

from meshcourse.measure.request_hops import Journey, Place, Span
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import timeout as picture

GATEWAY, NGINX, TOMCAT = (Place(name, "timeouts", name, inward=name == "tomcat") for name in ("gateway", "nginx", "tomcat"))
PLACES = (GATEWAY, NGINX, TOMCAT)
QUICK = Journey(1, 0.5, (0.0, 1.0), 200, 0.52, (Span(GATEWAY, 100.0, 0.51, 200, ()), Span(NGINX, 100.002, 0.505, 200, ())))
CUT = Journey(
    2,
    3.0,
    (0.0, 1.0),
    504,
    1.02,
    (Span(GATEWAY, 200.0, 1.01, 504, ()), Span(NGINX, 200.004, 1.0, 504, ("UT",)), Span(TOMCAT, 200.006, 0.998, 0, ("DC",))),
)
LOST = Journey(3, 3.0, (2.0, 1.0), 0, 0.1)
RUNS: dict[str, tuple[Journey, ...]] = {"timeout_before": (), "timeout_cut": (QUICK, CUT), "timeout_no_hops": (QUICK, CUT, LOST)}


@pytest.mark.parametrize("name", RUNS)
def test_the_figure_is_as_reviewed(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(RUNS[name], PLACES, "tomcat itself"))


@pytest.mark.parametrize("name", RUNS)
def test_a_live_figure_moved_on_shows_what_a_new_one_would(name: str) -> None:
    live = live_figure.made(picture.figure((), PLACES, "tomcat itself"))
    picture.update(live, RUNS[name], PLACES, "tomcat itself")
    wanted = go.Figure(picture.figure(RUNS[name], PLACES, "tomcat itself"))
    for trace, other in zip(live.data, wanted.data, strict=True):
        assert (tuple(trace.x or ()), tuple(trace.y or ())) == (tuple(other.x or ()), tuple(other.y or ()))
    assert live.layout.xaxis.range == wanted.layout.xaxis.range
    assert live.layout.yaxis2.range == wanted.layout.yaxis2.range


def test_bars_begin_when_the_request_came_to_each_hop() -> None:
    rows = picture.bars(CUT)
    assert [row.name for row in rows] == [picture.SENDER, "gateway", "nginx", "tomcat"]
    assert [row.start for row in rows] == [0.0, 0.005, 0.009, 0.011], "the sender's bar lies around the first hop's"
    assert [row.words for row in rows] == ["504 1.02 s", "504 1.01 s", "504 UT 1.00 s", "no answer DC 1.00 s"]
    assert len({row.colour for row in rows}) == 3, "who gave up, whose caller left, and who passed it on"


def test_clocks_that_differ_never_put_a_hop_before_the_sender() -> None:
    early = Journey(1, 1.0, (), 200, 1.0, (Span(GATEWAY, 50.0, 0.9, 200, ()), Span(NGINX, 48.0, 0.8, 200, ())))
    assert [row.start for row in picture.bars(early)] == [0.0, 0.05, 0.0]


def test_a_hop_of_no_whole_millisecond_is_painted_too() -> None:
    quick = Journey(1, 0.0, (), 200, 0.01, (Span(GATEWAY, 50.0, 0.004, 200, ()), Span(TOMCAT, 50.002, 0.0, 200, ())))
    hops, *_ = picture.figure((quick,), PLACES, "tomcat itself")["data"]
    assert (hops["x"][-1], hops["text"][-1]) == (picture.THINNEST, "200 0.00 s")


def test_the_work_at_the_end_goes_on_after_everyone_has_left() -> None:
    assert picture.work(CUT, "tomcat itself") == picture.Bar("tomcat itself", 0.011, 3.0, "takes 3 s, for nobody", picture.palette.INK)
    assert "for nobody" not in picture.work(QUICK, "tomcat itself").words


def test_words_say_who_gave_up() -> None:
    assert "nginx gave up (UT) after 1.00 s; the server takes 3 s" in picture.verdict(CUT)
    assert "no hop gave up" in picture.verdict(QUICK)
    assert "no answer" in picture.verdict(LOST)
    words = picture.describe(RUNS["timeout_cut"])
    assert "Request 2: 504 after 1.02 s" in words
    assert "tomcat no answer DC 1.00 s" in words
    assert "No request has been sent" in picture.describe(())
