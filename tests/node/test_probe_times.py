"""When probes are made, and how their results are counted."""

from __future__ import annotations

import pytest

from meshcourse.node.probe.probes import Tally, next_moment


@pytest.mark.parametrize(
    ("successes", "failures", "results", "verdicts"),
    [
        (1, 3, "+", [True]),
        (1, 3, "---", [None, None, False]),
        (1, 3, "----", [None, None, False, False]),
        (1, 3, "--+--", [None, None, True, None, None]),
        (2, 1, "-+-++", [False, None, False, None, True]),
    ],
)
def test_only_equal_results_in_a_row_make_a_verdict(successes: int, failures: int, results: str, verdicts: list[bool | None]) -> None:
    tally, found = Tally(successes, failures), []
    for result in results:
        tally, verdict = tally.add(ok=result == "+")
        found.append(verdict)
    assert found == verdicts


def moments(*, delay: float, period: float, early: bool, lasting: float = 0.0, until: float = 40.0) -> tuple[list[float], list[float]]:
    """The counted and the early attempts of a probe that fails `lasting` seconds after each attempt began."""
    now, previous = 0.0, None
    counted: list[float] = []
    others: list[float] = []
    while now < until:
        moment = next_moment(now, previous, delay=delay, period=period, early=early)
        now = moment.at + min(lasting, moment.until - moment.at)
        if moment.counted:
            previous = moment.at
        (counted if moment.counted else others).append(moment.at)
    return counted, others


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("delay", "period"), [(0, 1), (0, 10), (5, 10), (2, 3)])
@pytest.mark.parametrize("lasting", [0.0, 0.3, 0.99])
def test_counted_attempts_keep_their_period_whatever_is_tried_between(delay: float, period: float, early: bool, lasting: float) -> None:  # noqa: FBT001
    counted, others = moments(delay=delay, period=period, early=early, lasting=lasting)
    assert counted == pytest.approx([delay + number * period for number in range(len(counted))])
    assert early or not others


def test_early_attempts_come_quickly_at_first_and_end() -> None:
    counted, others = moments(delay=0, period=10, early=True, until=100)
    assert others[0] == pytest.approx(0.1)
    assert len([moment for moment in others if moment < 2]) > 10
    assert len(others) < 60
    assert max(others) < 34
    assert counted == pytest.approx(list(range(0, 101, 10)))


def test_an_attempt_that_outlasts_its_period_drops_the_ones_that_it_covers() -> None:
    counted, _ = moments(delay=0, period=1, early=False, lasting=2.5, until=10)
    assert counted == pytest.approx([0, 2.5, 5.0, 7.5])
