from __future__ import annotations

import itertools
import math

import pytest

from meshcourse.core.errors import TrafficError
from meshcourse.traffic import pacing


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [
        (pacing.constant(10, requests=3), [0.0, 0.1, 0.2]),
        (pacing.constant(10, seconds=0.3), [0.0, 0.1, 0.2]),
        (pacing.constant(3, seconds=1), [0.0, 1 / 3, 2 / 3]),
        (pacing.constant(10, seconds=5, requests=2), [0.0, 0.1]),
        (pacing.step((2, 1), (4, 1)), [0.0, 0.5, 1.0, 1.25, 1.5, 1.75]),
        (pacing.step((2, 1), (0, 10), (2, 1)), [0.0, 0.5, 11.0, 11.5]),
        (pacing.closed(requests=3), [0.0, 0.0, 0.0]),
    ],
)
def test_requests_are_due_at(shape: pacing.Pacing, offsets: list[float]) -> None:
    assert list(shape.offsets()) == pytest.approx(offsets)


@pytest.mark.parametrize(("first", "last", "seconds"), [(0, 100, 10), (100, 0, 10), (1, 1000, 3), (7, 7, 7), (50, 51, 1)])
def test_a_ramp_sends_the_area_under_its_rate(first: float, last: float, seconds: float) -> None:
    offsets = list(pacing.ramp(first, last, seconds=seconds).offsets())
    assert abs(len(offsets) - (first + last) / 2 * seconds) <= 1
    assert offsets == sorted(offsets)
    assert 0 <= offsets[0] <= offsets[-1] < seconds + 1e-9
    # Up to any moment, as many have left as the area up to there.
    for moment in (seconds / 4, seconds / 2, seconds * 0.9):
        area = first * moment + (last - first) / seconds * moment * moment / 2
        assert abs(sum(offset < moment for offset in offsets) - area) <= 1.01


def test_no_rounding_adds_up_over_a_long_run() -> None:
    at_last = next(itertools.islice(pacing.constant(3, requests=1_000_000).offsets(), 999_999, None))
    assert at_last == pytest.approx(999_999 / 3, rel=1e-12)


def test_poisson_arrivals_have_the_rate_and_the_spread_of_independent_users() -> None:
    offsets = list(pacing.poisson(200, seconds=100, seed=3).offsets())
    gaps = [after - before for before, after in itertools.pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert len(offsets) == pytest.approx(20_000, abs=6 * math.sqrt(20_000))
    assert spread == pytest.approx(mean, rel=0.05)
    assert offsets == list(pacing.poisson(200, seconds=100, seed=3).offsets())
    assert offsets != list(pacing.poisson(200, seconds=100, seed=4).offsets())


def test_a_turned_dial_counts_from_the_next_request() -> None:
    dial = pacing.Dial(10)
    offsets = dial.offsets()
    assert [next(offsets), next(offsets)] == pytest.approx([0.0, 0.1])
    dial.turn(100)
    assert [next(offsets), next(offsets)] == pytest.approx([0.11, 0.12])


@pytest.mark.parametrize(
    "make",
    [
        lambda: pacing.constant(0),
        lambda: pacing.constant(-5, seconds=1),
        lambda: pacing.constant(math.inf, seconds=1),
        lambda: pacing.constant(5, seconds=0),
        lambda: pacing.ramp(-1, 5, seconds=1),
        lambda: pacing.ramp(1, 5, seconds=math.nan),
        lambda: pacing.step((5, 0)),
        pacing.closed,
        lambda: pacing.poisson(0, seconds=1),
        lambda: pacing.Dial(0),
        lambda: pacing.Dial(1).turn(0),
    ],
)
def test_a_shape_that_makes_no_load_is_refused(make: object) -> None:
    with pytest.raises(TrafficError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.why
    assert caught.value.next
