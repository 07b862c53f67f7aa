"""The retry panel's picture and the numbers behind it."""

from __future__ import annotations

import operator

import golden
import plotly.graph_objects as go
import pytest

from meshcourse.measure.windows import Latency, Summary
from meshcourse.mesh.rules.retry_chain import Retrying
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import retries as picture
from meshcourse.widgets.models import retries
from meshcourse.widgets.models.retries import Arrivals, Story, View
from meshcourse.widgets.panels.retries import formula


def half_failing() -> View:
    story = Story(Retrying(50.0, 2, 0))
    story.add(0.0, None)
    summary = Summary(3.0, 100, {"1": 48, "2": 27, "3": 25}, {"200": 88, "503": 12}, Latency(0.01, 0.05, 0.09))
    story.arrived(Arrivals(0.0, 0, 10, 20))
    story.arrived(Arrivals(2.0, 100, 187, 199))
    story.add(0.25, summary)
    return story.view(summary)


VIEWS = {"retries_before_load": Story(Retrying(0.0, 2, 2)).view(None), "retries_half_failing": half_failing()}


@pytest.mark.parametrize("name", VIEWS)
def test_the_figure_is_as_reviewed(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(VIEWS[name]))


def test_a_live_figure_moved_on_shows_what_a_new_one_would_and_keeps_its_traces() -> None:
    live = live_figure.made(picture.figure(VIEWS["retries_before_load"]))
    traces = live.data
    picture.update(live, VIEWS["retries_half_failing"])
    wanted = go.Figure(picture.figure(VIEWS["retries_half_failing"]))
    assert [(tuple(trace.x), tuple(trace.y)) for trace in live.data] == [(tuple(trace.x), tuple(trace.y)) for trace in wanted.data]
    assert live.layout.yaxis3.range == wanted.layout.yaxis3.range
    assert all(map(operator.is_, live.data, traces))


def test_the_picture_is_told_in_words_too() -> None:
    words = picture.describe(VIEWS["retries_half_failing"])
    assert "88.0 % succeed (95 % band" in words
    assert "87.5 % predicted" in words
    assert "48 % take 1 try; 27 % take 2 tries" in words
    assert "1.77 arrive at front" in words
    assert "No load has run yet" in picture.describe(VIEWS["retries_before_load"])


@pytest.mark.parametrize(
    ("settings", "success", "front", "middle"),
    [
        (Retrying(0.0, 2, 2), 1.0, 1.0, 1.0),
        (Retrying(50.0, 0, 0), 0.5, 1.0, 1.0),
        (Retrying(50.0, 2, 0), 0.875, 1.75, 1.75),
        (Retrying(50.0, 2, 2), 1 - 0.5**9, 1 + 0.125 + 0.125**2, (1 + 0.125 + 0.125**2) * 1.75),
        (Retrying(100.0, 2, 2), 0.0, 3.0, 9.0),
    ],
)
def test_the_prediction_multiplies_from_hop_to_hop(settings: Retrying, success: float, front: float, middle: float) -> None:
    found = retries.predicted(settings)
    assert (found.success, found.front, found.middle) == pytest.approx((success, front, middle))


def test_what_arrived_under_other_settings_or_before_a_restart_does_not_count() -> None:
    story = Story(Retrying(50.0, 2, 0))
    story.arrived(Arrivals(0.0, 0, 0, 0))
    story.arrived(Arrivals(1.0, 40, 80, 80))
    assert story.hops() == (2.0, 2.0)
    story.turn(Retrying(0.0, 2, 0))
    assert story.hops() is None
    story.arrived(Arrivals(2.0, 80, 120, 120))
    story.arrived(Arrivals(3.0, 120, 5, 160))
    assert story.hops() is None, "front's proxy began anew"


def test_few_requests_say_nothing_of_the_hops() -> None:
    story = Story(Retrying(50.0, 2, 0))
    story.arrived(Arrivals(0.0, 0, 0, 0))
    story.arrived(Arrivals(1.0, retries.ENOUGH - 1, 30, 30))
    assert story.hops() is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [((50.0, 3, 0), "= 93.8 %"), ((20.0, 2, 2), "&gt; 99.9 %"), ((0.0, 0, 0), "= 100.0 %"), ((100.0, 2, 2), "= 0.0 %")],
)
def test_the_formula_calls_nothing_sure_that_is_not(settings: tuple[float, int, int], said: str) -> None:
    assert said in formula(Retrying(*settings))
