from __future__ import annotations

import random
import statistics

import pytest

from meshcourse.measure import windows
from meshcourse.traffic.results import Result


def answer(version: str = "v1", status: int = 200, latency: float = 0.01) -> Result:
    return Result(0.0, 0.0, latency, status, version)


def fault(name: str) -> Result:
    return Result(0.0, 0.0, 9.0, 0, fault=name, error=f"{name}: why")


def test_results_leave_when_they_are_old() -> None:
    window = windows.Window(5.0)
    window.add(answer("v1"), at=0.0)
    window.add(answer("v2"), at=3.0)
    assert window.summary(4.9).versions == {"v1": 1, "v2": 1}
    assert window.summary(5.0).versions == {"v2": 1}
    assert window.summary(8.0) == windows.Summary(5.0)
    assert len(window) == 0


def test_a_share_counts_answers_that_told_their_version() -> None:
    window = windows.Window(10.0)
    for result in (answer("v1"), answer("v2"), answer("v2"), answer("", 503), fault("timeout")):
        window.add(result, at=0.0)
    summary = window.summary(1.0)
    assert (summary.n, summary.labelled) == (5, 3)
    assert summary.share("v2").count == 2
    assert summary.share("v2").n == 3
    assert summary.share("v3").count == 0
    assert summary.codes == {"200": 3, "503": 1, "timeout": 1}
    assert summary.errors() == {"503": 1, "timeout": 1}
    assert (summary.part("5xx"), summary.part("no answer"), summary.part("4xx")) == (0.2, 0.2, 0.0)
    assert summary.rate == 0.5


def test_faults_have_no_latency() -> None:
    window = windows.Window(10.0)
    window.add(fault("timeout"), at=0.0)
    assert window.summary(0.0).latency == windows.Latency(None, None, None)
    window.add(answer(latency=0.02), at=0.0)
    assert window.summary(0.0).latency == windows.Latency(0.02, 0.02, 0.02)


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([], 0.5, None),
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.51, 3.0),
        (list(range(1, 101)), 0.95, 95),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 101)), 1.0, 100),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], share: float, wanted: float | None) -> None:
    assert windows.percentile(values, share) == wanted


def test_the_window_agrees_with_counting_anew() -> None:
    """Property: after any mixture of additions and reads, the running counts are those of the results still inside."""
    chance = random.Random(7)  # noqa: S311 - a property's examples
    window, kept, now = windows.Window(3.0), [], 0.0
    for _ in range(3000):
        now += chance.expovariate(50)
        result = chance.choice(
            [answer("v1", latency=chance.random()), answer("v2", latency=chance.random()), answer("", 500), fault("reset")]
        )
        window.add(result, at=now)
        kept.append((now, result))
        if chance.random() < 0.05:
            inside = [each for at, each in kept if at > now - 3.0]
            summary = window.summary(now)
            assert summary.n == len(inside)
            assert summary.versions.get("v1", 0) == sum(each.version == "v1" for each in inside)
            assert summary.codes.get("reset", 0) == sum(each.fault == "reset" for each in inside)
            answered = [each.latency for each in inside if each.status]
            assert summary.latency.p50 == statistics.median_low(answered)
    window.clear()
    assert window.summary(now).n == 0
