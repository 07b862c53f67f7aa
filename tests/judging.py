"""Answers to exercises, judged on the real mesh as `lab.check` would judge them."""

from __future__ import annotations

from meshcourse.checks import chapters, judging
from meshcourse.checks.outcome import Outcome
from meshcourse.kube import resources
from meshcourse.lab.cluster_view import LiveClusterView


def judged(view: LiveClusterView, number: str, *manifests: str) -> Outcome:
    """Apply a learner's manifests, and judge."""
    for manifest in manifests:
        resources.apply(view.connection, manifest, namespace=view.namespace)
    return judging.judge(chapters.EXERCISES[number], view)
