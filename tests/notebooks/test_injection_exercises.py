"""Answers to chapter 3's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks.chapters.ch03_injection import GUESTS, INJECT
from meshcourse.checks.outcome import Verdict
from meshcourse.kube import resources
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "03_injection"
LEGACY = (MANIFESTS / "04-legacy.yaml").read_text(encoding="utf-8")
LABELS = "labels: {app: legacy}"
NO = 'labels: {app: legacy, sidecar.istio.io/inject: "false"}'
KEY = "03-injection"


@pytest.fixture(scope="module")
def labelled(cluster: Any) -> Iterator[LiveWitness]:
    """A namespace that orders sidecars, for exercise 3.1."""
    namespaces.enable(cluster.connection, "injection-exercises", by="tests")
    yield LiveWitness(cluster.connection, "injection-exercises")
    namespaces.undo(cluster.connection, "injection-exercises", by="tests")


@pytest.fixture
def guests(cluster: Any, labelled: LiveWitness) -> Iterator[LiveWitness]:
    """The other team's namespace as the chapter makes it, for 3.2 and 3.3."""
    resources.apply(cluster.connection, MANIFESTS / "05-guests.yaml")
    resources.wait_for_rollout(cluster.connection, GUESTS, ["local", "guest", "veteran"])
    yield labelled
    namespaces.undo(cluster.connection, GUESTS, by=KEY)


def template(**labels: str) -> str:
    return json.dumps({"spec": {"template": {"metadata": {"labels": labels}}}})


def test_leaving_one_out(cluster: Any, labelled: LiveWitness) -> None:
    assert judged(labelled, "3.1").verdict is Verdict.NOT_ATTEMPTED
    on_the_deployment = LEGACY.replace("  name: legacy\n", '  name: legacy\n  labels: {sidecar.istio.io/inject: "false"}\n', 1)
    for manifest, hint in ((LEGACY, "under spec.template.metadata.labels"), (on_the_deployment, "stands on the Deployment")):
        resources.apply(cluster.connection, manifest, namespace=labelled.namespace)
        mistaken(judged(labelled, "3.1"), hint)
    resources.apply(cluster.connection, LEGACY.replace(LABELS, NO), namespace=labelled.namespace)
    assert judged(labelled, "3.1").passed
    cluster.kubectl("label", "namespace", labelled.namespace, "istio-injection-")
    found = judged(labelled, "3.1")
    cluster.kubectl("label", "namespace", labelled.namespace, "istio-injection=enabled")
    assert found.verdict is Verdict.NOT_YET
    assert "leave the namespace alone" in found.hint


def test_one_guest_and_nobody_else(cluster: Any, guests: LiveWitness) -> None:
    for number in ("3.2", "3.3"):
        assert judged(guests, number).verdict is Verdict.NOT_ATTEMPTED
    cluster.kubectl("-n", GUESTS, "label", "deployment", "guest", f"{INJECT}=true")
    assert "stands on the Deployment" in judged(guests, "3.2").hint
    cluster.kubectl("-n", GUESTS, "label", "deployment", "guest", f"{INJECT}-")
    cluster.kubectl("-n", GUESTS, "label", "pods", "-l", "app=guest", f"{INJECT}=true")
    assert "too late" in judged(guests, "3.2").hint
    cluster.kubectl("-n", GUESTS, "patch", "deployment", "guest", "-p", template(**{INJECT: "yes"}))
    assert '"true", in quotes' in judged(guests, "3.2").hint
    cluster.kubectl("-n", GUESTS, "patch", "deployment", "guest", "-p", template(**{INJECT: "true"}))
    assert judged(guests, "3.2").passed
    cluster.kubectl("label", "namespace", GUESTS, "istio-injection=enabled")
    assert f"kubectl label namespace {GUESTS} istio-injection-" in judged(guests, "3.2").hint
    cluster.kubectl("-n", GUESTS, "rollout", "restart", "deployment", "local")
    cluster.kubectl("-n", GUESTS, "rollout", "status", "deployment", "local", "--timeout=30s")
    cluster.kubectl("label", "namespace", GUESTS, "istio-injection-")
    mistaken(judged(guests, "3.2"), "restart deployment local")


def test_veteran_is_injected_by_hand_only(cluster: Any, guests: LiveWitness) -> None:
    cluster.kubectl("-n", GUESTS, "patch", "deployment", "veteran", "-p", template(**{INJECT: "true"}))
    by_webhook = judged(guests, "3.3")
    assert by_webhook.verdict is Verdict.NOT_YET
    assert "kube-inject" in by_webhook.hint
    held = cluster.kubectl("-n", GUESTS, "get", "deployment", "veteran", "-o", "yaml")
    cluster.kubectl("apply", "-f", "-", stdin=cluster.run("istioctl", "kube-inject", "-f", "-", stdin=held).stdout)
    both = judged(guests, "3.3")
    assert both.verdict is Verdict.NOT_YET
    assert "take the label away" in both.hint
    cluster.kubectl("-n", GUESTS, "patch", "deployment", "veteran", "-p", template(**{INJECT: None}))
    assert judged(guests, "3.3").passed
