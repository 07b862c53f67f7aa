"""The arithmetic of retries, compared with sums and with simulation."""

from __future__ import annotations

import random

import pytest

from meshcourse.core.errors import CourseError
from meshcourse.measure import retries

GRID = [(fail, attempts) for fail in (0.0, 0.3, 0.5, 1.0) for attempts in (0, 1, 3)]


@pytest.mark.parametrize(("fail", "attempts"), GRID)
def test_every_request_takes_some_number_of_tries_and_the_mean_is_theirs(fail: float, attempts: int) -> None:
    chances = retries.last_tries(fail, attempts)
    assert sum(chances.values()) == pytest.approx(1.0)
    assert sum(number * chance for number, chance in chances.items()) == pytest.approx(retries.tries(fail, attempts))


@pytest.mark.parametrize(("fail", "attempts"), GRID)
def test_the_formulas_say_what_dice_do(fail: float, attempts: int) -> None:
    dice, turns, good, tries = random.Random(8), 20_000, 0, 0  # noqa: S311 - dice, not secrets
    for _ in range(turns):
        for _attempt in range(attempts + 1):
            tries += 1
            if dice.random() >= fail:
                good += 1
                break
    assert good / turns == pytest.approx(retries.success(fail, attempts), abs=0.015)
    assert tries / turns == pytest.approx(retries.tries(fail, attempts), abs=0.03)


def test_inbound_requests_are_summed_and_outbound_ones_left_out() -> None:
    found = {
        "cluster.inbound|80||;.upstream_rq_total": 3,
        "cluster.inbound|8080||;.upstream_rq_total": 4,
        "cluster.inbound|80||;.upstream_rq_503": 9,
        "cluster.outbound|80||web.shop.svc.cluster.local;.upstream_rq_total": 100,
    }
    assert retries.total(found, "web") == 7


def test_before_the_first_request_nothing_has_arrived() -> None:
    assert retries.total({"cluster.inbound|80||;.membership_total": 1}, "web") == 0


def test_a_proxy_without_inbound_stats_is_named_with_what_helps() -> None:
    with pytest.raises(CourseError, match="web has no counter") as caught:
        retries.total({"server.uptime": 3}, "web")
    assert "proxyStatsMatcher" in caught.value.why
