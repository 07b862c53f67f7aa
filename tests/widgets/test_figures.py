"""Golden figures."""

from __future__ import annotations

import operator

import golden
import plotly.graph_objects as go
import pytest
from contrast import contrast

from meshcourse.measure.windows import Latency, Summary
from meshcourse.widgets import live_figure, palette
from meshcourse.widgets.figures import weights as picture
from meshcourse.widgets.models import history


def tick(at: float, v2: int, versions: dict[str, int], codes: dict[str, int] | None = None) -> history.Tick:
    n = sum(versions.values())
    latency = Latency(0.002, 0.0045, 0.012) if n else Latency()
    codes = codes or ({"200": n} if n else {})
    return history.Tick(at, {"v1": 100 - v2, "v2": v2}, Summary(5.0, sum(codes.values()), versions, codes, latency))


VIEWS = {
    "before_load": history.view(("v1", "v2"), ()),
    "half_moved": history.view(
        ("v1", "v2"),
        (
            history.Tick(0.0, {"v1": 90, "v2": 10}, None),
            tick(0.25, 10, {"v1": 9, "v2": 1}),
            tick(0.5, 50, {"v1": 40, "v2": 10}, {"200": 50, "503": 5, "timeout": 5}),
            tick(0.75, 50, {}),
        ),
    ),
    "three_versions": history.view(("v1", "v2", "v3"), (tick(70.0, 20, {"v1": 80, "v2": 20}),)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_figure_is_as_reviewed(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(VIEWS[name]))


@pytest.mark.parametrize("name", VIEWS)
def test_plotly_takes_the_figure(name: str) -> None:
    made = go.Figure(picture.figure(VIEWS[name]))
    assert len(made.data) == 5 * len(VIEWS[name].versions) + 6


def test_a_live_figure_moved_on_shows_what_a_new_one_would_and_keeps_its_traces() -> None:
    live = live_figure.made(picture.figure(VIEWS["before_load"]))
    traces = live.data
    picture.update(live, VIEWS["half_moved"])
    wanted = go.Figure(picture.figure(VIEWS["half_moved"]))
    assert [(trace.name, tuple(trace.x), tuple(trace.y)) for trace in live.data] == [
        (trace.name, tuple(trace.x), tuple(trace.y)) for trace in wanted.data
    ]
    assert live.layout.xaxis.range == wanted.layout.xaxis.range
    assert all(map(operator.is_, live.data, traces))


def test_band_ends_where_load_ends_and_begins_with_the_next_load() -> None:
    ticks = (tick(1.0, 10, {"v1": 9, "v2": 1}), tick(2.0, 10, {}), tick(9.0, 10, {"v1": 90, "v2": 10}))
    low, high = picture.figure(history.view(("v1", "v2"), ticks))["data"][:2]
    assert low["x"] == high["x"] == [1.0, 1.0, 9.0, 9.0]
    widths = [above - below for below, above in zip(low["y"], high["y"], strict=True)]
    assert [width > 0 for width in widths] == [True, False, False, True]


def test_the_picture_is_told_in_words_too() -> None:
    words = picture.describe(VIEWS["half_moved"])
    assert "v2: 50 % wanted" in words
    seen = picture.describe(history.view(("v1", "v2"), (tick(1.0, 50, {"v1": 40, "v2": 10}, {"200": 50, "503": 50}),)))
    assert "v2: 50 % wanted, 20.0 % observed (95 % band 11.2 to 33.0)" in seen
    assert "5xx: 50.0 % of requests" in seen
    assert "No load has run yet" in picture.describe(VIEWS["before_load"])


def test_only_the_last_minute_is_kept() -> None:
    found = history.Trail(("v1",))
    for second in range(200):
        found.add(history.Tick(float(second), {"v1": 100}, None))
    seen = found.view()
    assert seen.seconds[0] >= 138
    assert seen.range == (139.0, 199.0)


@pytest.mark.parametrize("ground", ["#FFFFFF", "#111111"])
@pytest.mark.parametrize("colour", [palette.INK, *palette.SERIES[:3]])
def test_text_and_the_first_series_can_be_read_on_light_and_dark(ground: str, colour: str) -> None:
    assert contrast(ground, colour) >= 3.0
