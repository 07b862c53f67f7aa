from __future__ import annotations

import pytest

from meshcourse.measure import binomial as exact
from meshcourse.measure import shares


def test_the_band_is_wilsons() -> None:
    """Figures from the worked example of Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and 0 of 20."""
    found = shares.of(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    found = shares.of(0, 20)
    assert (found.low, round(found.high, 4)) == (0.0, 0.1611)


def test_nothing_seen_means_nothing_known() -> None:
    found = shares.of(0, 0)
    assert (found.share, found.low, found.high) == (0.0, 0.0, 1.0)
    assert 0.5 in found


@pytest.mark.parametrize("n", [1, 2, 7, 100, 5000])
def test_the_band_holds_the_share_lies_within_0_and_1_and_is_symmetric(n: int) -> None:
    for count in {0, 1, n // 3, n // 2, n - 1, n}:
        found, mirror = shares.of(count, n), shares.of(n - count, n)
        assert 0.0 <= found.low <= found.share <= found.high <= 1.0
        assert found.low == pytest.approx(1 - mirror.high)
        wider = shares.of(count, n, confidence=0.999)
        assert wider.low <= found.low
        assert wider.high >= found.high


def test_more_answers_make_a_narrower_band() -> None:
    widths = [found.high - found.low for found in (shares.of(n // 10, n) for n in (10, 100, 1000, 10_000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("truth", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [50, 250])
def test_the_band_covers_the_truth_about_as_often_as_it_says(truth: float, n: int) -> None:
    """By the exact distribution, no drawing: Wilson's coverage is never far below its level."""
    covered = sum(exact.probability_between(n, truth, count, count) for count in range(n + 1) if truth in shares.of(count, n))
    assert 0.91 <= covered <= 0.995


@pytest.mark.parametrize(("count", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_counts_are_refused(count: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="count"):
        shares.of(count, n, confidence=confidence)


def test_a_share_reads_as_the_panel_shows_it() -> None:
    assert str(shares.of(156, 312)) == "50.0 % (n=312)"
    assert str(shares.of(0, 0)) == "0.0 % (n=0)"
