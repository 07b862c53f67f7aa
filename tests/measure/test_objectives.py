"""Objectives judged from windows and from results: the limits, and unknown values."""

from __future__ import annotations

import pytest

from meshcourse.measure import objectives
from meshcourse.measure.objectives import LATENCY, LOAD, SHARE, SUCCESS, Objectives, Reading
from meshcourse.measure.windows import Latency, Summary
from meshcourse.traffic.results import Result

WANTED = Objectives()
HALF = {"v1": 300, "v2": 300}


def standing(reading: Reading) -> dict[str, bool | None]:
    return {mark.name: mark.met for mark in objectives.marks(reading, WANTED)}


@pytest.mark.parametrize(
    ("reading", "name", "met"),
    [
        (Reading(600, 6, 0.1, HALF, 1.0), SUCCESS, True),
        (Reading(600, 7, 0.1, HALF, 1.0), SUCCESS, False),
        (Reading(600, 0, 0.500, HALF, 1.0), LATENCY, True),
        (Reading(600, 0, 0.501, HALF, 1.0), LATENCY, False),
        (Reading(600, 0, 0.1, {"v1": 354, "v2": 246}, 1.0), SHARE, True),
        (Reading(600, 0, 0.1, {"v1": 355, "v2": 245}, 1.0), SHARE, False),
        (Reading(600, 0, 0.1, {"v1": 245, "v2": 355}, 1.0), SHARE, False),
        (Reading(600, 0, 0.1, HALF, 1.5), LOAD, True),
        (Reading(600, 0, 0.1, HALF, 1.51), LOAD, False),
    ],
)
def test_each_objective_has_its_border(reading: Reading, name: str, met: bool) -> None:  # noqa: FBT001 - a table
    found = standing(reading)
    assert found[name] is met
    assert all(state is True for other, state in found.items() if other != name)


def test_before_any_request_nothing_is_known() -> None:
    assert set(standing(Reading()).values()) == {None}


def test_a_release_without_requests_has_no_load_and_no_excuse() -> None:
    found = standing(Reading(600, 0, 0.1, {"v1": 600}, None))
    assert found[LOAD] is None
    assert found[SHARE] is False


def test_answers_of_a_proxy_name_no_version_and_count_as_the_release_s() -> None:
    every = [Result(0, 0, 0.01, 200, "v1")] * 50 + [Result(0, 0, 0.02, 200, "v2")] * 40 + [Result(0, 0, 0.3, 504)] * 10
    found = objectives.of_results(every, 75, "v2")
    assert (found.n, found.failed, found.versions) == (100, 10, {"v1": 50, "v2": 40})
    assert found.tries == pytest.approx(1.5), "75 arrived for 40 answered and 10 that timed out"
    assert found.p95 == 0.3


def test_a_window_and_a_run_are_judged_alike() -> None:
    summary = Summary(5.0, 600, HALF, {"200": 594, "503": 6}, Latency(0.01, 0.4, 0.9))
    assert objectives.of_summary(summary, 1.2) == Reading(600, 6, 0.4, HALF, 1.2)


def test_words_say_what_was_seen_and_what_is_wanted() -> None:
    marks = objectives.marks(Reading(600, 60, 1.2, {"v2": 540}, 1.9), WANTED)
    assert [mark.seen for mark in marks] == ["90.0% (60 of 600 failed)", "1200 ms", "100%", "1.90 requests for each of a user's"]
    assert objectives.met(marks) == 0
