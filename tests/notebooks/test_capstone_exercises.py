"""Answers to the capstone's exercises, right and wrong, judged on the real mesh: each missing cure gets its own hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import mistaken

from meshcourse.checks import chapters, judging
from meshcourse.checks.outcome import Outcome, Verdict
from meshcourse.kube import resources
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "10_capstone"
OUTLIER = "{consecutive5xxErrors: 7, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 34}"
RETRIES = "{attempts: 3, perTryTimeout: 250ms, retryOn: 5xx}"
TESTERS = """
  - match: [{headers: {x-tester: {exact: 'yes'}}}]
    route:
    - destination: {host: checkout, subset: v2}"""


def rule(*, testers: str = "", v1: int = 50, v2: int = 50, retries: str = "") -> str:
    again = f"\n    retries: {retries}" if retries else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: checkout
spec:
  hosts: [checkout.example.com]
  gateways: [shop]
  http:{testers}
  - name: everybody{again}
    route:
    - destination: {{host: checkout, subset: v1}}
      weight: {v1}
    - destination: {{host: checkout, subset: v2}}
      weight: {v2}
"""


def breaker(outlier: str) -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: checkout
spec:
  host: checkout
  trafficPolicy: {{outlierDetection: {outlier}}}
  subsets:
  - name: v1
    labels: {{version: v1}}
  - name: v2
    labels: {{version: v2}}
"""


@pytest.fixture(scope="module")
def shop(cluster: Any) -> Iterator[LiveWitness]:
    """Both versions, in a namespace of their own."""
    namespace = "capstone-exercises"
    namespaces.enable(cluster.connection, namespace, by="tests")
    for file in sorted(MANIFESTS.glob("*.yaml")):
        resources.apply(cluster.connection, file, namespace=namespace)
    resources.wait_for_rollout(cluster.connection, namespace, ["checkout-v1", "checkout-v2-a", "checkout-v2-b"])
    yield LiveWitness(cluster.connection, namespace)
    namespaces.undo(cluster.connection, namespace, by="tests")


@pytest.fixture
def witness(shop: LiveWitness) -> LiveWitness:
    """Friday, five o'clock."""
    resources.apply(shop.connection, MANIFESTS / "03-incident.yaml", namespace=shop.namespace)
    found = propagation.wait(shop.connection, shop.namespace)
    assert not found.missing, found
    return shop


def judged(witness: LiveWitness, number: str, manifest: str = "") -> Outcome:
    resources.apply(witness.connection, manifest, namespace=witness.namespace)
    found = propagation.wait(witness.connection, witness.namespace)
    assert not found.missing, found
    for _ in range(4):
        verdict = judging.judge(chapters.EXERCISES[number], witness)
        if "too busy" not in verdict.seen:  # with the rest of a test run; that verdict has a test of its own
            break
    return verdict


@pytest.mark.parametrize("number", ["10.1", "10.2"])
def test_friday_is_not_attempted(witness: LiveWitness, number: str) -> None:
    assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED


def test_right_answers_pass_and_rolling_back_alone_saves_no_release(witness: LiveWitness) -> None:
    first = judged(witness, "10.1", rule(testers=TESTERS, v1=100, v2=0))
    assert first.passed, first
    assert judged(witness, "10.2").verdict is Verdict.NOT_ATTEMPTED
    second = judged(witness, "10.2", rule(retries=RETRIES) + breaker(OUTLIER))
    assert second.passed, second
    assert "600 requests at 120 per second" in second.bound


WRONG_ROLLBACK = [
    ("half", rule(testers=TESTERS), "weight: 100"),
    ("testers lost", rule(v1=100, v2=0), "put a rule above it"),
    ("testers below", rule(v1=100, v2=0) + TESTERS.lstrip("\n") + "\n", "put a rule above it"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_ROLLBACK], ids=[row[0] for row in WRONG_ROLLBACK])
def test_mistake_in_10_1_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "10.1", manifest), hint)


WRONG_CURES = [
    ("nothing", rule(), "retries: {attempts: 3"),
    ("no condition", rule(retries="{attempts: 3}") + breaker(OUTLIER), "retryOn: 5xx"),
    ("no limit", rule(retries="{attempts: 3, retryOn: 5xx}") + breaker(OUTLIER), "perTryTimeout"),
    ("a tenth", rule(v1=90, v2=10, retries=RETRIES) + breaker(OUTLIER), "weight: 50"),
    # With many tries the broken pod costs load only, not success: the breaker's two hints can be told apart from the others.
    ("no breaker", rule(retries=RETRIES.replace("3,", "6,")), "outlierDetection"),
    (
        "a tenth of three pods",
        rule(retries=RETRIES.replace("3,", "6,")) + breaker(OUTLIER.replace("34", "10")),
        "one of three needs 34",
    ),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_CURES], ids=[row[0] for row in WRONG_CURES])
def test_missing_cure_in_10_2_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "10.2", manifest), hint)
