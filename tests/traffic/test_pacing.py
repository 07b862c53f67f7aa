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
        (pacing.closed(requests=3), [0.0, 0.0, 0.0]),
    ],
)
def test_requests_are_due_at(shape: pacing.Pacing, offsets: list[float]) -> None:
    assert list(shape.offsets()) == pytest.approx(offsets)


def test_no_rounding_adds_up_over_a_long_run() -> None:
    at_last = next(itertools.islice(pacing.constant(3, requests=1_000_000).offsets(), 999_999, None))
    assert at_last == pytest.approx(999_999 / 3, rel=1e-12)


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
        pacing.closed,
        lambda: pacing.Dial(0),
        lambda: pacing.Dial(1).turn(0),
    ],
)
def test_a_shape_that_makes_no_load_is_refused(make: object) -> None:
    with pytest.raises(TrafficError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.why
    assert caught.value.next
