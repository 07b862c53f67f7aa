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


# -- the band of an observed share -------------------------------------------------------------------------------------------------------


def test_the_band_is_wilsons() -> None:
    """Figures from the worked example of Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and 0 of 20."""
    found = binomial.observed(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    found = binomial.observed(0, 20)
    assert (found.low, round(found.high, 4)) == (0.0, 0.1611)


def test_nothing_seen_means_nothing_known() -> None:
    found = binomial.observed(0, 0)
    assert (found.share, found.low, found.high) == (0.0, 0.0, 1.0)
    assert 0.5 in found


@pytest.mark.parametrize("n", [1, 2, 7, 100, 5000])
def test_the_band_holds_the_share_lies_within_0_and_1_and_is_symmetric(n: int) -> None:
    for count in {0, 1, n // 3, n // 2, n - 1, n}:
        found, mirror = binomial.observed(count, n), binomial.observed(n - count, n)
        assert 0.0 <= found.low <= found.share <= found.high <= 1.0
        assert found.low == pytest.approx(1 - mirror.high)
        wider = binomial.observed(count, n, confidence=0.999)
        assert wider.low <= found.low
        assert wider.high >= found.high


def test_more_answers_make_a_narrower_band() -> None:
    widths = [found.high - found.low for found in (binomial.observed(n // 10, n) for n in (10, 100, 1000, 10_000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("truth", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [50, 250])
def test_the_band_covers_the_truth_about_as_often_as_it_says(truth: float, n: int) -> None:
    """By the exact distribution, no drawing: Wilson's coverage is never far below its level."""
    covered = sum(binomial.probability_between(n, truth, count, count) for count in range(n + 1) if truth in binomial.observed(count, n))
    assert 0.91 <= covered <= 0.995


@pytest.mark.parametrize(("count", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_counts_are_refused(count: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="count"):
        binomial.observed(count, n, confidence=confidence)


def test_a_share_reads_as_the_panel_shows_it() -> None:
    assert str(binomial.observed(156, 312)) == "50.0 % (n=312)"
    assert str(binomial.observed(0, 0)) == "0.0 % (n=0)"
