"""The automatic canary: its rules, its table as reviewed, and both ends of a rollout on the real mesh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import golden
import pytest
from waiting import until

from meshcourse.core.errors import PanelError
from meshcourse.kube import resources
from meshcourse.measure import binomial
from meshcourse.measure.binomial import Share
from meshcourse.traffic.results import Result
from meshcourse.widgets.figures import rollout as picture
from meshcourse.widgets.models import rollout
from meshcourse.widgets.models.rollout import Evidence, Plan, Step, Verdict
from meshcourse.widgets.panels.rollout import RolloutPanel

PLAN = Plan()


def seen(n: int, failed: int = 0, p95: float | None = 0.02) -> tuple[Share, float | None]:
    return binomial.observed(failed, n), p95 if n else None


@pytest.mark.parametrize(
    ("found", "seconds", "verdict", "why"),
    [
        (seen(0), 1.0, Verdict.WATCH, "0 of 100"),
        (seen(0), 61.0, Verdict.ROLL_BACK, "0 of 100 answers"),
        (seen(200), 2.0, Verdict.WATCH, "2 of 4 s"),
        (seen(200), 4.0, Verdict.PROMOTE, "0.0 % fail"),
        (seen(20, 1), 1.0, Verdict.WATCH, "20 of 100"),
        (seen(12, 1), 0.25, Verdict.WATCH, "12 of 100"),
        (seen(20, 5), 1.0, Verdict.ROLL_BACK, "more than 1 % fail (95 % band 11.2 to 46.9 %)"),
        (seen(200, 3), 5.0, Verdict.WATCH, "the share is still uncertain"),
        (seen(200, 3), 61.0, Verdict.ROLL_BACK, "still uncertain"),
        (seen(200, 20), 5.0, Verdict.ROLL_BACK, "more than 1 % fail"),
        (seen(200, 0, 0.9), 5.0, Verdict.ROLL_BACK, "900 ms, not 500 ms"),
    ],
)
def test_it_goes_on_and_back_on_evidence(found: tuple[Share, float | None], seconds: float, verdict: Verdict, why: str) -> None:
    step = rollout.judged(PLAN, 10, *found, seconds)
    assert (step.verdict, step.weight) == (verdict, 10)
    assert why in step.why


def answer(status: int = 200, version: str = "", started: float = 1.0) -> Result:
    return Result(started, started, 0.01, status, version, "" if status else "reset")


def told(*results: Result) -> Evidence:
    made = Evidence("v2", since=0.5)
    for each in results:
        made.add(each)
    return made


def test_a_failing_tenth_is_a_whole_failure_of_the_version_that_has_a_tenth() -> None:
    """Nine in a hundred requests fail: all of those that went to v2, whose pods are gone."""
    seen = told(*[answer(version="v1")] * 91, *[answer(503)] * 9)
    seen.sent(seen.failures, requests=0, errors=0, others=0)
    assert (seen.failed.count, seen.failed.n) == (9, 9)


def test_failures_of_the_old_version_are_not_the_new_ones() -> None:
    seen = told(*[answer(503)] * 9, *[answer(version="v2")] * 20)
    seen.sent(seen.failures, requests=20, errors=0, others=9)
    assert (seen.failed.count, seen.failed.n) == (0, 20)


def test_a_failure_that_the_gateway_has_not_counted_yet_waits() -> None:
    seen = told(*[answer(version="v2")] * 20)
    before = seen.failures
    seen.add(answer(500))
    seen.sent(before, requests=20, errors=0, others=0)
    assert seen.failed.count == 0
    seen.sent(seen.failures, requests=1, errors=1, others=0)
    assert (seen.failed.count, seen.failed.n) == (1, 21)


def test_what_was_sent_before_a_step_says_nothing_of_it() -> None:
    assert told(answer(503, started=0.4)).failed.n == 0


def test_errors_after_the_end_are_said() -> None:
    assert not picture.fails(PLAN, None)
    assert not picture.fails(PLAN, binomial.observed(1, 3))
    assert "fails now: 100.0 % (n=9)" in picture.fails(PLAN, binomial.observed(9, 9))


STEPS: dict[str, list[Step]] = {
    "before": [],
    "under way": [rollout.judged(PLAN, 10, *seen(200), 4.0), rollout.judged(PLAN, 25, *seen(40), 1.0)],
    "rolled back": [rollout.judged(PLAN, 10, *seen(200), 4.0), rollout.judged(PLAN, 25, *seen(200, 50), 1.0)],
}


def test_the_table_is_as_reviewed() -> None:
    made = "\n".join(f"<p>{picture.describe(PLAN, steps)}</p>\n{picture.table(PLAN, steps)}" for steps in STEPS.values())
    golden.as_reviewed("rollout.html", made)


@pytest.fixture
def panel(canary: Any) -> Iterator[RolloutPanel]:
    plan = Plan(steps=(25, 100), watch=1.5, enough=40, latency=5.0)
    with RolloutPanel(
        canary.connection, plan=plan, namespace=canary.namespace, virtual_service="web", route="split", deployment="web-v2"
    ) as made:
        yield made


@pytest.mark.cluster
def test_a_good_release_is_promoted_and_a_bad_one_taken_back_to_the_old_version(panel: RolloutPanel, canary: Any) -> None:
    assert "Not started" in panel.state.value
    panel.start(rate=60)
    panel.begin()
    assert [(step.weight, step.verdict) for step in panel.wait_done()] == [(25, Verdict.PROMOTE), (100, Verdict.PROMOTE)]
    assert canary.held() == {"v1": 0, "v2": 100}
    assert "Done: 100 %" in panel.state.value
    panel.broken.value = True
    until(lambda: "fails now" in panel.state.value)
    try:
        panel.go.click()  # once more, with all requests at the version that is dead by now
        until(lambda: panel.steps and panel.steps[-1].verdict is Verdict.ROLL_BACK)
        panel.wait_done()
        assert panel.steps[-1].weight == 25
        assert canary.held() == {"v1": 100, "v2": 0}
        assert "Rolled back at 25 %" in panel.state.value
        panel.set_weights({"v1": 0, "v2": 100})
        panel.old.click()
        until(lambda: canary.held() == {"v1": 100, "v2": 0})
    finally:
        panel.broken.value = False
        resources.wait_for_rollout(canary.connection, canary.namespace, ["web-v2"])
        canary.cluster.kubectl(
            "-n", canary.namespace, "wait", "--for=condition=Ready", "pod", "-l", "version=v2", "--timeout=60s", timeout=70
        )


@pytest.mark.cluster
def test_a_version_that_is_not_there_is_named(canary: Any) -> None:
    with pytest.raises(PanelError, match="no version v9"):
        RolloutPanel(canary.connection, version="v9", namespace=canary.namespace, virtual_service="web", route="split").open()
