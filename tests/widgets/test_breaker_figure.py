"""The breaker's golden figures, and the computations behind them."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import golden
import plotly.graph_objects as go
import pytest

from meshcourse.measure.admin import Endpoint
from meshcourse.measure.windows import Summary
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import breaker as picture
from meshcourse.widgets.models import breaker

GOOD = Endpoint("10.244.0.6", ready=True, ejected=False, requests=40, errors=0)
BAD = Endpoint("10.244.0.8", ready=True, ejected=False, requests=3, errors=3)
OUT = Endpoint("10.244.0.8", ready=True, ejected=True, requests=3, errors=3)


def standings(*endpoints: Endpoint) -> tuple[breaker.Standing, ...]:
    return tuple(breaker.Standing(f"httpbin {each.address}", each) for each in endpoints)


def tick(at: float, kinds: Mapping[str, int], counters: Mapping[str, int], *endpoints: Endpoint) -> breaker.Tick:
    return breaker.Tick(at, Summary(2.0, sum(kinds.values()), dict(kinds)), counters, standings(*endpoints))


def counted(good: int, refused: int = 0, broken: int = 0, nobody: int = 0) -> dict[str, int]:
    return {
        "upstream_rq_2xx": good,
        "upstream_rq_pending_overflow": refused,
        "upstream_cx_none_healthy": nobody,
        "upstream_rq_5xx": refused + broken + nobody,
    }


TICKS = (
    breaker.Tick(0.0, None),
    tick(1.0, {breaker.ANSWERED: 10}, counted(100), GOOD, BAD),
    tick(2.0, {breaker.ANSWERED: 20, breaker.REFUSED: 10}, counted(110, refused=5, broken=1), GOOD, BAD),
    tick(3.0, {breaker.ANSWERED: 20, breaker.REFUSED: 20, "": 0}, counted(120, refused=15, broken=3), GOOD, OUT),
    tick(4.0, {breaker.ANSWERED: 20, breaker.NOBODY: 4}, counted(130, refused=15, broken=3, nobody=4), GOOD, OUT),
)
VIEWS = {"breaker_before_load": breaker.view(()), "breaker_tripped": breaker.view(TICKS)}


@pytest.mark.parametrize("name", VIEWS)
def test_the_figure_is_as_reviewed(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(VIEWS[name]))


@pytest.mark.parametrize("name", VIEWS)
def test_plotly_takes_the_figure(name: str) -> None:
    assert len(go.Figure(picture.figure(VIEWS[name])).data) == 2 * len(breaker.KINDS) + 2


def test_a_live_figure_moved_on_shows_what_a_new_one_would_and_keeps_its_traces() -> None:
    live = live_figure.made(picture.figure(VIEWS["breaker_before_load"]))
    traces = live.data
    picture.update(live, VIEWS["breaker_tripped"])
    wanted = go.Figure(picture.figure(VIEWS["breaker_tripped"]))
    assert [(trace.name, tuple(trace.x), tuple(trace.y)) for trace in live.data] == [
        (trace.name, tuple(trace.x), tuple(trace.y)) for trace in wanted.data
    ]
    assert tuple(live.layout.yaxis3.categoryarray) == tuple(wanted.layout.yaxis3.categoryarray)
    assert all(map(operator.is_, live.data, traces))


def test_callers_rates_are_counts_over_the_window() -> None:
    view = VIEWS["breaker_tripped"]
    assert view.got[breaker.ANSWERED] == (None, 5.0, 10.0, 10.0, 10.0)
    assert view.got[breaker.REFUSED] == (None, 0.0, 5.0, 10.0, 0.0)
    unknown = breaker.view((breaker.Tick(0.0, Summary(2.0, 9, {breaker.ANSWERED: 5})),))
    assert unknown.got[breaker.OTHER] == (2.0,), "answers that no kind fits are other"


def test_envoys_rates_are_the_rise_of_its_counters_and_need_two_seconds() -> None:
    view = VIEWS["breaker_tripped"]
    assert view.counted[breaker.ANSWERED] == (None, None, None, 10.0, 10.0)
    assert view.counted[breaker.REFUSED] == (None, None, None, 7.5, 5.0)
    assert view.counted[breaker.BROKEN] == (None, None, None, 1.5, 1.0), "5xx that Envoy did not make itself"
    assert view.counted[breaker.NOBODY][-1] == 2.0


def test_a_counter_that_began_anew_is_not_a_fall() -> None:
    """A changed DestinationRule: Envoy's counters by status start from 0, those of the breaker continue."""
    before, after = counted(1000, refused=50, broken=7), {**counted(0, refused=53), "upstream_rq_2xx": 4, "upstream_rq_5xx": 3}
    assert breaker.risen(before, after) == {
        breaker.ANSWERED: 4,
        breaker.REFUSED: 3,
        breaker.BROKEN: 0,
        breaker.NOBODY: 0,
        breaker.OTHER: 0,
    }


def test_a_proxy_that_cannot_be_asked_leaves_a_gap() -> None:
    ticks = (tick(0.0, {}, counted(0)), tick(2.0, {}, counted(8)), breaker.Tick(2.5, None), tick(3.0, {}, counted(9)))
    assert breaker.view(ticks).counted[breaker.ANSWERED] == (None, 4.0, None, None)


def test_endpoints_are_in_or_out_at_each_moment() -> None:
    view = VIEWS["breaker_tripped"]
    assert view.names == ("httpbin 10.244.0.6", "httpbin 10.244.0.8")
    assert view.outside == ((3.0, "httpbin 10.244.0.8"), (4.0, "httpbin 10.244.0.8"))
    assert (2.0, "httpbin 10.244.0.8") in view.inside


def test_the_picture_is_told_in_words_too() -> None:
    words = picture.describe(VIEWS["breaker_tripped"])
    assert "callers got answered 10.0, none left 2.0 a second" in words
    assert "ejected now: httpbin 10.244.0.8" in words
    assert "No load has run yet" in picture.describe(VIEWS["breaker_before_load"])


def test_only_the_last_minute_is_kept() -> None:
    trail = breaker.Trail()
    for second in range(200):
        trail.add(breaker.Tick(float(second), None))
    assert trail.view().seconds[0] >= 138
    assert trail.view().range == (139.0, 199.0)


def test_an_endpoint_that_was_in_between_two_looks_has_its_square() -> None:
    again = Endpoint("10.244.0.8", ready=True, ejected=True, requests=6, errors=6)
    view = breaker.view((tick(1.0, {}, counted(1), OUT), tick(2.0, {}, counted(1), OUT), tick(3.0, {}, counted(1), again)))
    assert view.inside == ((3.0, "httpbin 10.244.0.8"),)
    assert len(view.outside) == 3
