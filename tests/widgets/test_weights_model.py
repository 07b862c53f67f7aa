from __future__ import annotations

import random

import pytest

from meshcourse.core.errors import PanelError
from meshcourse.widgets.models import weights as redistribution


@pytest.mark.parametrize(
    ("weights", "version", "weight", "wanted"),
    [
        ({"v1": 90, "v2": 10}, "v2", 50, {"v1": 50, "v2": 50}),
        ({"v1": 100, "v2": 0}, "v1", 30, {"v1": 30, "v2": 70}),
        ({"v1": 60, "v2": 20, "v3": 20}, "v1", 20, {"v1": 20, "v2": 40, "v3": 40}),
        ({"v1": 60, "v2": 30, "v3": 10}, "v1", 0, {"v1": 0, "v2": 75, "v3": 25}),
        ({"v1": 100, "v2": 0, "v3": 0}, "v1", 0, {"v1": 0, "v2": 50, "v3": 50}),
        ({"v1": 100, "v2": 0, "v3": 0}, "v1", 99, {"v1": 99, "v2": 1, "v3": 0}),
        ({"v1": 50, "v2": 50}, "v2", 400, {"v1": 0, "v2": 100}),
        ({"v1": 50, "v2": 50}, "v2", -3, {"v1": 100, "v2": 0}),
        ({"v1": 100}, "v1", 30, {"v1": 100}),
    ],
)
def test_the_others_share_the_rest(weights: dict[str, int], version: str, weight: int, wanted: dict[str, int]) -> None:
    assert redistribution.moved(weights, version, weight) == wanted


def test_any_drag_keeps_whole_weights_that_sum_to_100_in_their_order() -> None:
    """Property over 5,000 random moves, each from where the last one ended."""
    chance = random.Random(11)  # noqa: S311 - a property's examples
    for versions in (2, 3, 5):
        weights = redistribution.split(100, {f"v{number}": chance.randrange(50) for number in range(versions)})
        for _ in range(5000):
            version, weight = chance.choice(list(weights)), chance.randrange(101)
            before, weights = weights, redistribution.moved(weights, version, weight)
            assert sum(weights.values()) == 100
            assert weights[version] == weight
            assert list(weights) == list(before)
            assert all(isinstance(part, int) and 0 <= part <= 100 for part in weights.values())
            rest = {each: part for each, part in before.items() if each != version}
            if sum(rest.values()):
                for each, part in rest.items():
                    assert abs(weights[each] - (100 - weight) * part / sum(rest.values())) < 1


def test_moving_back_at_once_is_as_before() -> None:
    weights = {"v1": 60, "v2": 30, "v3": 10}
    assert redistribution.moved(redistribution.moved(weights, "v1", 20), "v1", 60) == weights


def test_a_slider_that_is_not_there_is_refused() -> None:
    with pytest.raises(PanelError, match="no slider for v9"):
        redistribution.moved({"v1": 100}, "v9", 5)


def test_presets_are_a_canarys_steps() -> None:
    assert redistribution.presets(("v1", "v2")) == (
        ("100/0", {"v1": 100, "v2": 0}),
        ("90/10", {"v1": 90, "v2": 10}),
        ("50/50", {"v1": 50, "v2": 50}),
        ("0/100", {"v1": 0, "v2": 100}),
    )
    assert dict(redistribution.presets(("a", "b", "c")))["even"] == {"a": 34, "b": 33, "c": 33}
    for versions in (("a",), ("a", "b"), ("a", "b", "c")):
        assert all(sum(weights.values()) == 100 for _, weights in redistribution.presets(versions))
