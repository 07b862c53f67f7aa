"""Answers to chapter 0's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged

from meshcourse.checks.outcome import Verdict
from meshcourse.kube import resources
from meshcourse.lab import answers
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.measure.access_logs import Entry
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "00_start"
HOST = "start.example.com"


@pytest.fixture
def witness(cluster: Any) -> Iterator[LiveWitness]:
    """The chapter's application behind the gateway, with nothing asked of it yet."""
    namespace = "start-exercises"
    namespaces.enable(cluster.connection, namespace, by="tests")
    for name in ("01-hello", "02-route"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=namespace)
    resources.wait_for_rollout(cluster.connection, namespace, ["hello"])
    assert not propagation.wait(cluster.connection, namespace).missing
    yield LiveWitness(cluster.connection, namespace)
    answers.answer("0.2")
    namespaces.undo(cluster.connection, namespace, by="tests")


def written(witness: LiveWitness, workload: str, containing: str, namespace: str = "") -> tuple[Entry, ...]:
    """Lines of a log, once there are any: Envoy keeps them back for up to a second."""
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        found = witness.log(workload, containing=containing, namespace=namespace)
        if found:
            return found
    pytest.fail(f"no line with {containing}")


def line(witness: LiveWitness, path: str) -> Entry:
    """The sidecar's line of a request that was just sent."""
    return written(witness, "deploy/hello", path)[-1]


def test_nothing_is_not_attempted_mistakes_get_their_hints_and_right_answers_pass(witness: LiveWitness) -> None:
    for number in ("0.1", "0.2"):
        assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED
    answers.answer("0.2", "hello")
    assert "0.1 first" in judged(witness, "0.2").hint
    witness.send(1, host=HOST, path="/418")
    other = line(witness, "/418")
    found = judged(witness, "0.1")
    assert found.verdict is Verdict.NOT_YET
    assert "/418 and answered 404" in found.seen
    assert "/status/418" in found.hint
    witness.send(1, path="/status/418")
    assert written(witness, "deploy/istio-ingressgateway", "/status/418", "istio-system")
    nobody = judged(witness, "0.1")
    assert nobody.verdict is Verdict.NOT_YET
    assert "Host:" in nobody.hint
    witness.send(1, host=HOST, path="/status/418")
    assert judged(witness, "0.1").passed
    teapot = line(witness, "/status/418")
    for wrong, hint in (
        (other["request_id"], "explain_log"),
        (teapot["upstream_host"], "36 characters"),
        ("00000000-0000-4000-8000-000000000000", "whole id"),
    ):
        answers.answer("0.2", wrong)
        judgement = judged(witness, "0.2")
        assert judgement.verdict is Verdict.NOT_YET, judgement
        assert hint in judgement.hint
    answers.answer("0.2", f'"{teapot["request_id"]}"')
    assert judged(witness, "0.2").passed
