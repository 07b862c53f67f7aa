"""What all exercises share: an error of the cluster is never the learner's, and the learner's is never the cluster's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcourse.checks import diagnosis, judging
from meshcourse.checks.chapters import EXERCISES
from meshcourse.checks.chapters import ch06_circuit_breaking as breaking
from meshcourse.checks.chapters import ch07_timeouts as timeouts
from meshcourse.checks.diagnosis import Route
from meshcourse.checks.outcome import Verdict
from meshcourse.kube.connection import Connection
from meshcourse.lab.cluster_view import LiveClusterView
from meshcourse.mesh.envoy.traffic_policy import UNLIMITED, Policy

ASKING = [number for number in EXERCISES if number not in {"0.2", "1.2", "4.1"}]
RULE = {"metadata": {"name": "shop"}, "spec": {"http": [{"route": [{"destination": {"host": "web"}}]}]}}


@pytest.mark.parametrize("number", ASKING)
def test_an_api_server_that_does_not_answer_is_the_clusters_trouble(tmp_path: Path, number: str) -> None:
    found = judging.judge(EXERCISES[number], LiveClusterView(Connection(tmp_path / "absent", "http://127.0.0.1:1"), "nowhere"))
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.exercise == number
    assert found.hint


@pytest.mark.cluster
def test_a_gateway_that_nobody_can_reach_is_the_clusters_trouble(cluster: Any, namespace: str) -> None:
    deaf = LiveClusterView(Connection(cluster.kubeconfig, "http://127.0.0.1:1", cluster.connection.environment), namespace)
    found = diagnosis.failed(
        deaf, Route(RULE, "shop.example.com"), deaf.send(3, host="shop.example.com"), which="everybody", expected="200"
    )
    assert found is not None
    assert found.verdict is Verdict.CANNOT_TELL
    assert "refused" in found.seen


@pytest.mark.cluster
def test_a_request_that_no_gateway_takes_is_no_trouble_of_the_clusters(cluster: Any, namespace: str) -> None:
    view = LiveClusterView(cluster.connection, namespace)
    got = view.send(3, host="nobody.example.com")
    found = diagnosis.failed(view, Route(RULE, "nobody.example.com"), got, which="everybody", expected="200")
    assert found is not None
    assert found.verdict is Verdict.NOT_YET


@pytest.mark.cluster
def test_a_deployment_without_pods_is_named_with_the_command_that_brings_them_back(cluster: Any, namespace: str) -> None:
    view = LiveClusterView(cluster.connection, namespace)
    gone = diagnosis.away(view, ["web"])
    assert gone is not None
    assert "there is no Deployment `web`" in gone.seen
    cluster.kubectl("-n", namespace, "create", "deployment", "web", "--image=nginx", "--replicas=0")
    away = diagnosis.away(view, ["web"])
    assert away is not None
    assert away.hint == "kubectl scale deployment web --replicas=1"


def test_limits_are_told_apart_whatever_else_envoy_holds() -> None:
    assert breaking._limits_hint(Policy(max_connections=2, max_pending_requests=3, max_requests=9)) == ""
    assert "no end" in breaking._limits_hint(Policy(max_connections=2, max_pending_requests=UNLIMITED))


def test_what_wget_says_is_read() -> None:
    said = {"began": "10.50", "ended": "11.52", "code": "1", "said": "wget: server returned error: HTTP/1.1 504 Gateway Timeout"}
    assert str(timeouts._reply(said)) == "504 after 1.0 s"
    assert timeouts._reply({**said, "code": "0", "said": ""}).status == 200
    assert timeouts._reply({**said, "code": "143", "said": ""}).status == 0
