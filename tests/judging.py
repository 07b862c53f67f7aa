"""Answers to exercises, judged on the real mesh as `lab.check` would judge them."""

from __future__ import annotations

from meshcourse.checks import chapters, judging
from meshcourse.checks.outcome import Outcome, Verdict
from meshcourse.kube import resources
from meshcourse.lab.cluster_view import LiveWitness


def judged(witness: LiveWitness, number: str, *manifests: str) -> Outcome:
    """Apply a learner's manifests, and judge."""
    for manifest in manifests:
        resources.apply(witness.connection, manifest, namespace=witness.namespace)
    return judging.judge(chapters.EXERCISES[number], witness)


def mistaken(found: Outcome, hint: str) -> None:
    """Assert that a wrong answer was told apart, with the hint written for it."""
    assert found.verdict is Verdict.NOT_YET, found
    assert found.seen
    assert found.expected
    assert hint in found.hint, found
