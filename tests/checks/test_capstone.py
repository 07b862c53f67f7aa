"""How certain the capstone's verdict is, and when the machine is too busy to judge."""

from __future__ import annotations

import pytest

from meshcourse.checks.chapters import ch10_capstone as capstone
from meshcourse.measure import binomial
from meshcourse.measure.objectives import Objectives
from meshcourse.traffic.results import Result

WANTED = Objectives()


@pytest.mark.parametrize("most", [6, 30])
def test_the_chance_that_is_surely_accepted_is_the_largest(most: int) -> None:
    found = capstone.surely(600, most, false_alarm=1e-4)

    def beyond(chance: float) -> float:
        return 1 - binomial.probability_between(600, chance, 0, most)

    assert beyond(found) <= 1e-4 < beyond(found * 1.02)


def test_the_three_objectives_that_ask_chance_together_cry_wolf_once_in_ten_thousand() -> None:
    n, low, high = WANTED.requests, round(600 * (WANTED.share - WANTED.slack)), round(600 * (WANTED.share + WANTED.slack))
    halves = 1 - binomial.probability_between(n, 0.5, low, high)
    others = [
        1 - binomial.probability_between(n, capstone.surely(n, most), 0, most) for most in (int(n * WANTED.failing), int(n * WANTED.slow))
    ]
    assert halves + sum(others) <= 1e-4


def test_the_solution_lies_well_inside_and_each_missing_cure_well_outside() -> None:
    """v2's good pods fail 5 % and are slow for 15 %; a slow try is cut off. Half of the requests go to v2."""
    a_try = 0.05 + 0.15
    assert 0.5 * a_try**4 < capstone.surely(600, 6), "with three retries and a limit"
    assert 0.5 * a_try**2 < capstone.surely(600, 30), "two slow tries in a row come to 500 ms"
    assert binomial.probability_between(600, 0.5 * 0.05, 0, 6) < 0.02, "without retries"
    assert binomial.probability_between(600, 0.5 * 0.15, 0, 30) < 0.02, "without a limit for each try"


def answers(version: str, seconds: float, n: int = 100) -> tuple[Result, ...]:
    return (Result(0, 0, seconds, 200, version),) * n


def test_a_slow_v1_is_the_machines_trouble_and_a_slow_v2_the_learners() -> None:
    assert "too busy" in capstone.too_busy(answers("v1", 0.3) + answers("v2", 0.3))
    assert capstone.too_busy(answers("v1", 0.01) + answers("v2", 1.2)) == ""
    assert capstone.too_busy(answers("v2", 1.2)) == ""
