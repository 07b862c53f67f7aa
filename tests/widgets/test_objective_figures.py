"""The objective panel's picture and its score."""

from __future__ import annotations

import operator

import golden
import plotly.graph_objects as go
import pytest

from meshcourse.measure.objectives import Objectives
from meshcourse.measure.windows import Latency, Summary
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import objectives as picture
from meshcourse.widgets.models.objectives import Arrivals, Scoring

GOOD = Summary(5.0, 600, {"v1": 310, "v2": 290}, {"200": 599, "504": 1}, Latency(0.005, 0.274, 0.31))
BAD = Summary(5.0, 600, {"v2": 600}, {"200": 280, "503": 320}, Latency(0.01, 1.21, 1.25))


def scoring(*summaries: Summary, arrived: int = 360) -> Scoring:
    made = Scoring(Objectives())
    made.gap(0.0)
    made.arrived(Arrivals(0.0, 0, 0))
    made.arrived(Arrivals(5.0, 290, arrived))
    for turn, summary in enumerate(summaries):
        made.add(5.0 + turn, summary)
    return made


VIEWS = {"objectives_before_load": Scoring(Objectives()).view(), "objectives_saved": scoring(BAD, GOOD).view()}


@pytest.mark.parametrize("name", VIEWS)
def test_the_figure_is_as_reviewed(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(VIEWS[name]))


def test_a_live_figure_moved_on_shows_what_a_new_one_would_and_keeps_its_traces() -> None:
    live = live_figure.made(picture.figure(VIEWS["objectives_before_load"]))
    traces = live.data
    picture.update(live, VIEWS["objectives_saved"])
    wanted = go.Figure(picture.figure(VIEWS["objectives_saved"]))
    assert [(tuple(trace.x), tuple(trace.y)) for trace in live.data] == [(tuple(trace.x), tuple(trace.y)) for trace in wanted.data]
    assert [each.text for each in live.layout.annotations] == [each.text for each in wanted.layout.annotations]
    assert all(map(operator.is_, live.data, traces))


def test_the_picture_is_told_in_words_and_signs_not_in_colour_alone() -> None:
    words = picture.describe(scoring(BAD, arrived=600).view())
    assert "success not met: 46.7% (320 of 600 failed), wanted at least 99%" in words
    assert "load on v2 not met: 2.07" in words
    signs = [each["text"].split(" ")[0] for each in picture.titles(VIEWS["objectives_saved"])]
    assert signs == ["<b>✔"] * 4
    assert [each["text"].split(" ")[0] for each in picture.titles(VIEWS["objectives_before_load"])] == ["<b>○"] * 4


def test_the_score_counts_seconds_only_while_all_is_met_over_a_whole_window() -> None:
    held = scoring(GOOD, GOOD, GOOD)
    assert (held.score(7.0).met, held.score(7.0).held) == (4, 2.0)
    held.add(8.0, BAD)
    assert held.score(8.0).held == 0.0
    assert "of 4 objectives met" in str(held.score(8.0))
    few = Summary(5.0, 60, {"v1": 30, "v2": 30}, {"200": 60}, Latency(0.005, 0.1, 0.2))
    early = scoring(few)
    assert not early.score(6.0).whole
    assert "so far" in str(early.score(6.0))


def test_load_is_told_of_the_last_seconds_and_not_across_a_restart() -> None:
    made = Scoring(Objectives())
    made.arrived(Arrivals(0.0, 0, 1000))
    made.arrived(Arrivals(5.0, 300, 1600))
    assert made.tries() == 2.0
    made.arrived(Arrivals(10.0, 600, 1900))
    assert made.tries() == 1.0, "the first five seconds are past"
    made.arrived(Arrivals(11.0, 660, 40))
    assert made.tries() is None, "a pod began anew, and counts from nothing"
