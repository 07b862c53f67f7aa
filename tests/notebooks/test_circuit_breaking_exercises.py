"""Answers to chapter 6's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks import chapters, judging
from meshcourse.checks.chapters import ch06_circuit_breaking as chapter
from meshcourse.checks.outcome import Verdict
from meshcourse.kube import replicas, resources
from meshcourse.kube.connection import Connection
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh.envoy.traffic_policy import UNLIMITED, Policy
from meshcourse.mesh.injection import namespaces

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "06_circuit_breaking"
RULES = {"6.1": "reports", "6.2": "orders", "6.3": "tickets"}
GOOD = {
    "6.1": "connectionPool: {tcp: {maxConnections: 2}, http: {http1MaxPendingRequests: 3}}",
    "6.2": "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 30s, maxEjectionPercent: 50}",
    "6.3": "outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 1m, maxEjectionPercent: 100, minHealthPercent: 50}",
}


def rule(number: str, policy: str, *, host: str = "") -> str:
    name = RULES[number]
    head = f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {name}\n"
    return f"{head}spec:\n  host: {host or name}\n  trafficPolicy:\n    {policy}\n"


@pytest.fixture(scope="module")
def chapter_pods(cluster: Any) -> Iterator[LiveWitness]:
    """The chapter's pods and the exercises' Services, in a namespace of their own."""
    namespace = "breaking-exercises"
    namespaces.enable(cluster.connection, namespace, by="tests")
    for name in ("01-httpbin", "02-fortio", "05-faulty", "08-exercises"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=namespace)
    resources.wait_for_rollout(cluster.connection, namespace, ["httpbin", "httpbin-faulty", "fortio-deploy", "reports"])
    yield LiveWitness(cluster.connection, namespace)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def witness(chapter_pods: LiveWitness) -> Iterator[LiveWitness]:
    """No exercise attempted yet."""
    yield chapter_pods
    for name in RULES.values():
        call = chapter_pods.connection.custom().delete_namespaced_custom_object
        resources.read(call, "networking.istio.io", "v1", chapter_pods.namespace, "destinationrules", name)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("number", RULES)
def test_nothing_done_is_not_attempted(witness: LiveWitness, number: str) -> None:
    assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("number", RULES)
def test_right_answers_pass_and_say_what_was_seen_and_pass_again(witness: LiveWitness, number: str) -> None:
    first = judged(witness, number, rule(number, GOOD[number]))
    assert first.passed, first
    assert "requests" in first.seen
    assert judged(witness, number).passed


WRONG = [
    ("6.1 swapped", "6.1", "connectionPool: {tcp: {maxConnections: 3}, http: {http1MaxPendingRequests: 2}}", "wrong way round"),
    ("6.1 no queue", "6.1", "connectionPool: {tcp: {maxConnections: 2}}", "nobody is ever refused"),
    ("6.1 HTTP/2's limit", "6.1", "connectionPool: {http: {http2MaxRequests: 2, http1MaxPendingRequests: 3}}", "one request at a time"),
    ("6.1 other numbers", "6.1", "connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}", "maxConnections: 2"),
    (
        "6.2 nobody may be put out",
        "6.2",
        "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 30s}",
        "not one whole pod",
    ),
    ("6.2 limits instead", "6.2", "connectionPool: {tcp: {maxConnections: 3}}", "outlierDetection"),
    (
        "6.2 all may be out",
        "6.2",
        "outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 30s, maxEjectionPercent: 100}",
        "maxEjectionPercent",
    ),
    (
        "6.2 too short",
        "6.2",
        "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 5s, maxEjectionPercent: 50}",
        "baseEjectionTime",
    ),
    ("6.2 one error", "6.2", "outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 30s, maxEjectionPercent: 50}", "in a row"),
    (
        "6.3 nobody left",
        "6.3",
        "outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 1m, maxEjectionPercent: 100}",
        "minHealthPercent",
    ),
    ("6.3 not all", "6.3", "outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 1m, minHealthPercent: 50}", "maxEjectionPercent"),
    ("6.3 too patient", "6.3", "outlierDetection: {consecutive5xxErrors: 9, maxEjectionPercent: 100, minHealthPercent: 50}", "two errors"),
    ("6.3 one error", "6.3", "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100, minHealthPercent: 50}", "Errors: 2"),
    (
        "6.3 too short",
        "6.3",
        "outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 20s, maxEjectionPercent: 100, minHealthPercent: 50}",
        "stays out",
    ),
    (
        "6.3 too few left",
        "6.3",
        "outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 1m, maxEjectionPercent: 100, minHealthPercent: 10}",
        "minHealthPercent: 50",
    ),
]


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize(("number", "policy", "hint"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_mistake_gets_its_hint(witness: LiveWitness, number: str, policy: str, hint: str) -> None:
    mistaken(judged(witness, number, rule(number, policy)), hint)


@pytest.mark.cluster
@pytest.mark.slow
def test_rule_for_another_host_is_said_so(witness: LiveWitness) -> None:
    mistaken(judged(witness, "6.1", rule("6.1", GOOD["6.1"], host="httpbin")), "host: reports")


@pytest.mark.cluster
@pytest.mark.slow
def test_broken_replica_that_was_taken_away_is_nobodys_mistake(witness: LiveWitness) -> None:
    replicas.write(witness.connection, witness.namespace, "httpbin-faulty", 0)
    try:
        found = judged(witness, "6.2", rule("6.2", GOOD["6.2"]))
        assert found.verdict is Verdict.CANNOT_TELL
        assert "--replicas=1" in found.hint
    finally:
        replicas.write(witness.connection, witness.namespace, "httpbin-faulty", 1)
        resources.wait_for_rollout(witness.connection, witness.namespace, ["httpbin-faulty"])


def test_api_server_that_does_not_answer_is_the_clusters_trouble(tmp_path: Path) -> None:
    deaf = LiveWitness(Connection(tmp_path / "absent", "http://127.0.0.1:1"), "breaking")
    assert judging.judge(chapters.EXERCISES["6.1"], deaf).verdict is Verdict.CANNOT_TELL


def test_limits_are_told_apart_whatever_else_envoy_holds() -> None:
    assert chapter._limits_hint(Policy(max_connections=2, max_pending_requests=3, max_requests=9)) == ""
    assert "no end" in chapter._limits_hint(Policy(max_connections=2, max_pending_requests=UNLIMITED))
