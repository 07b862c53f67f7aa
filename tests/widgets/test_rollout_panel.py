"""The automatic canary: its rules, its table as reviewed, and both ends of a rollout on the real mesh."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import golden
import pytest

from meshcourse.core.errors import PanelError
from meshcourse.kube import resources
from meshcourse.measure.windows import Latency, Summary
from meshcourse.widgets.figures import rollout as picture
from meshcourse.widgets.models import rollout
from meshcourse.widgets.models.rollout import Plan, Step, Verdict
from meshcourse.widgets.panels.rollout import RolloutPanel

PLAN = Plan()


def seen(n: int, failed: int = 0, p95: float = 0.02) -> Summary:
    return Summary(4.0, n, {}, {"200": n - failed, "503": failed} if n else {}, Latency(0.01, p95, p95) if n else Latency())


@pytest.mark.parametrize(
    ("summary", "seconds", "verdict", "why"),
    [
        (seen(0), 1.0, Verdict.WATCH, "0 of 100"),
        (seen(0), 41.0, Verdict.ROLL_BACK, "0 of 100 requests"),
        (seen(200), 2.0, Verdict.WATCH, "2 of 4 s"),
        (seen(200), 4.0, Verdict.PROMOTE, "0.0 % fail"),
        (seen(20, 1), 1.0, Verdict.WATCH, "20 of 100"),
        (seen(12, 1), 0.25, Verdict.WATCH, "12 of 100"),
        (seen(20, 5), 1.0, Verdict.ROLL_BACK, "more than 1 % fail (95 % band 11.2 to 46.9 %)"),
        (seen(200, 3), 5.0, Verdict.WATCH, "not sure how many"),
        (seen(200, 3), 41.0, Verdict.ROLL_BACK, "not sure"),
        (seen(200, 20), 5.0, Verdict.ROLL_BACK, "more than 1 % fail"),
        (seen(200, 0, 0.9), 5.0, Verdict.ROLL_BACK, "900 ms, not 500 ms"),
    ],
)
def test_it_goes_on_and_back_on_evidence(summary: Summary, seconds: float, verdict: Verdict, why: str) -> None:
    step = rollout.judged(PLAN, 10, summary, seconds)
    assert (step.verdict, step.weight) == (verdict, 10)
    assert why in step.why


STEPS: dict[str, list[Step]] = {
    "before": [],
    "under way": [rollout.judged(PLAN, 10, seen(200), 4.0), rollout.judged(PLAN, 25, seen(40), 1.0)],
    "rolled back": [rollout.judged(PLAN, 10, seen(200), 4.0), rollout.judged(PLAN, 25, seen(200, 50), 1.0)],
}


def test_the_table_is_as_reviewed() -> None:
    made = "\n".join(f"<p>{picture.describe(PLAN, steps)}</p>\n{picture.table(PLAN, steps)}" for steps in STEPS.values())
    golden.as_reviewed("rollout.html", made)


@pytest.fixture
def panel(canary: Any) -> Iterator[RolloutPanel]:
    plan = Plan(steps=(25, 100), watch=1.5, enough=40, latency=5.0)
    with RolloutPanel(canary.connection, plan=plan, namespace=canary.namespace, virtual_service="web", route="split") as made:
        yield made


@pytest.mark.cluster
def test_a_good_release_is_promoted_and_a_bad_one_taken_back(panel: RolloutPanel, canary: Any) -> None:
    assert "Not begun" in panel.state.value
    panel.start(rate=60)
    panel.begin()
    assert [(step.weight, step.verdict) for step in panel.wait_done()] == [(25, Verdict.PROMOTE), (100, Verdict.PROMOTE)]
    assert canary.held() == {"v1": 0, "v2": 100}
    assert "Done: 100 %" in panel.state.value
    canary.reset()
    panel.set_weights({"v1": 100, "v2": 0})
    canary.cluster.kubectl("-n", canary.namespace, "scale", "deployment/web-v2", "--replicas=0")
    canary.cluster.kubectl("-n", canary.namespace, "wait", "--for=delete", "pod", "-l", "version=v2", "--timeout=60s", timeout=70)
    try:
        panel.go.click()
        ends = time.monotonic() + 60
        while not (panel.steps and panel.steps[-1].verdict is Verdict.ROLL_BACK):
            assert time.monotonic() < ends, panel.steps
            time.sleep(0.05)
        panel.wait_done()
        assert panel.steps[-1].weight == 25
        assert canary.held() == {"v1": 100, "v2": 0}
        assert "Rolled back at 25 %" in panel.state.value
    finally:
        canary.cluster.kubectl("-n", canary.namespace, "scale", "deployment/web-v2", "--replicas=1")
        resources.wait_for_rollout(canary.connection, canary.namespace, ["web-v2"])


@pytest.mark.cluster
def test_a_version_that_is_not_there_is_named(canary: Any) -> None:
    with pytest.raises(PanelError, match="no version v9"):
        RolloutPanel(canary.connection, version="v9", namespace=canary.namespace, virtual_service="web", route="split").open()
