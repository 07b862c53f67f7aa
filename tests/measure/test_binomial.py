"""The exact binomial bounds: known values, and properties that hold for every n and share tried."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from meshcourse.measure import binomial

SHARES = (0.0, 0.001, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.999, 1.0)
COUNTS = (1, 2, 10, 37, 200, 1000)


def exact_between(n: int, p: Fraction, low: int, high: int) -> float:
    """The same probability by whole-number arithmetic, as an independent view."""
    return float(sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(low, high + 1)))


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("share", SHARES)
def test_right_split_is_refused_at_most_as_often_as_promised(n: int, share: float) -> None:
    band = binomial.accepted(n, share)
    assert 1 - binomial.probability_between(n, share, band.low, band.high) <= binomial.FALSE_ALARM + 1e-12


@pytest.mark.parametrize("n", [10, 37, 200, 1000])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_interval_is_as_narrow_as_the_promise_allows(n: int, share: float) -> None:
    band = binomial.accepted(n, share)
    if band.low > 0:
        assert binomial.probability_between(n, share, 0, band.low) > binomial.FALSE_ALARM / 2
    if band.high < n:
        assert binomial.probability_between(n, share, band.high, n) > binomial.FALSE_ALARM / 2


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("share", SHARES)
def test_interval_of_the_other_version_is_the_mirror_image(n: int, share: float) -> None:
    one, other = binomial.accepted(n, share), binomial.accepted(n, 1 - share)
    assert (other.low, other.high) == (n - one.high, n - one.low)


def test_sums_agree_with_whole_number_arithmetic() -> None:
    chance = random.Random(5)  # noqa: S311 - chance, not secrets
    for _ in range(50):
        n = chance.randint(1, 300)
        p = Fraction(chance.randint(1, 99), 100)
        low = chance.randint(0, n)
        high = chance.randint(low, n)
        assert binomial.probability_between(n, float(p), low, high) == pytest.approx(exact_between(n, p, low, high), rel=1e-9, abs=1e-300)


def test_ninety_ten_over_a_thousand_requests_is_ninety_plus_or_minus_about_three_point_seven() -> None:
    band = binomial.accepted(1000, 0.9)
    assert 861 <= band.low <= 865
    assert 935 <= band.high <= 938


def test_certain_shares_accept_one_count_only() -> None:
    assert (binomial.accepted(50, 0.0).low, binomial.accepted(50, 0.0).high) == (0, 0)
    assert (binomial.accepted(50, 1.0).low, binomial.accepted(50, 1.0).high) == (50, 50)
    assert 49 not in binomial.accepted(50, 1.0)


def test_simulated_right_splits_are_accepted_and_wrong_ones_found() -> None:
    chance = random.Random(7)  # noqa: S311 - chance, not secrets
    band = binomial.accepted(1000, 0.1)
    right = [sum(chance.random() < 0.1 for _ in range(1000)) for _ in range(300)]
    wrong = [sum(chance.random() < 0.2 for _ in range(1000)) for _ in range(300)]
    assert all(count in band for count in right)
    assert not any(count in band for count in wrong)


def test_number_of_requests_to_tell_two_splits_is_enough_and_the_step_before_is_not() -> None:
    n = binomial.requests_to_tell(0.1, 0.2)
    band = binomial.accepted(n, 0.1)
    assert binomial.probability_between(n, 0.2, band.low, band.high) <= 1e-2
    smaller = binomial.accepted(n // 2, 0.1)
    assert binomial.probability_between(n // 2, 0.2, smaller.low, smaller.high) > 1e-2


@pytest.mark.parametrize(("n", "share", "alarm"), [(0, 0.5, 1e-4), (10, 1.5, 1e-4), (10, -0.1, 1e-4), (10, 0.5, 0.0)])
def test_impossible_questions_are_refused(n: int, share: float, alarm: float) -> None:
    with pytest.raises(ValueError, match="need n >= 1"):
        binomial.accepted(n, share, false_alarm=alarm)


def test_equal_shares_cannot_be_told_apart() -> None:
    with pytest.raises(ValueError, match="equal shares"):
        binomial.requests_to_tell(0.3, 0.3)


@pytest.mark.parametrize(("wanted", "other"), [(0.1, 0.15), (0.2, 0.25), (0.5, 0.62), (0.5, 0.38)])
def test_a_trial_keeps_both_its_promises(wanted: float, other: float) -> None:
    trial = binomial.share_is(wanted, other)
    assert 1 - binomial.probability_between(trial.n, wanted, trial.low, trial.high) <= 1e-4
    for wrong in (other, 2 * wanted - other):
        assert binomial.probability_between(trial.n, wrong, trial.low, trial.high) <= 1e-2
    assert round(trial.n * wanted) in trial
    assert round(trial.n * other) not in trial


@pytest.mark.parametrize(("wanted", "other"), [(0.01, 0.03), (0.05, 0.09), (0.01, 0.02)])
def test_a_trial_of_at_most_keeps_both_its_promises(wanted: float, other: float) -> None:
    trial = binomial.share_at_most(wanted, other)
    assert 1 - binomial.probability_between(trial.n, wanted, 0, trial.high) <= 1e-4
    assert binomial.probability_between(trial.n, other, 0, trial.high) <= 1e-2
    assert 0 in trial


def test_a_trial_says_both_chances() -> None:
    said = str(binomial.share_is(0.1, 0.15))
    assert "10 % is refused at most once in 10,000 checks" in said
    assert "15 % passes at most once in 100 checks" in said


def test_a_trial_of_two_equal_shares_is_refused() -> None:
    with pytest.raises(ValueError, match="equal shares"):
        binomial.share_is(0.5, 0.5)
    with pytest.raises(ValueError, match="larger one"):
        binomial.share_at_most(0.1, 0.05)
