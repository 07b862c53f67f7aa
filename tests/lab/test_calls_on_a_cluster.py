"""lab.wait, lab.access_log and the others for workloads without pods or a sidecar: their immediate messages."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meshcourse import lab
from meshcourse.core.errors import CourseError, KubernetesError
from meshcourse.course.chapters import CHAPTERS
from meshcourse.kube import resources
from meshcourse.lab import diagnosis, session

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare}
spec:
  selector: {matchLabels: {app: bare}}
  template:
    metadata: {labels: {app: bare, sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: nginx, image: "nginx:1.25"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: none}
spec:
  replicas: 0
  selector: {matchLabels: {app: none}}
  template:
    metadata: {labels: {app: none}}
    spec: {containers: [{name: nginx, image: "nginx:1.25"}]}
"""


@pytest.fixture(scope="module")
def begun(cluster: Any) -> Iterator[Any]:
    """A session in a namespace with a Deployment without a sidecar, and one without pods."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    resources.apply(cluster.connection, WEB, namespace=name)
    resources.wait_for_rollout(cluster.connection, name, ["bare", "none"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_current", session.Session(dataclasses.replace(CHAPTERS["05-canary"], namespace=name), cluster.connection))
        yield session.current()
    cluster.kubectl("delete", "namespace", name, "--wait=false")


CALLS: dict[str, Callable[[str], object]] = {
    "access_log": lambda name: lab.access_log(workload=name),
    "explain_log": lambda name: lab.explain_log(workload=name),
    "stats": lambda name: lab.stats(name, "upstream_rq"),
    "certificate": lab.certificate,
    "amplification": lambda name: lab.amplification(path="/", hops=[name]),
}


@pytest.mark.cluster
@pytest.mark.parametrize("call", CALLS)
def test_workload_that_cannot_be_asked_is_said_with_a_way_out(begun: Any, call: str) -> None:
    where = begun.namespace
    for name, what, why, following in (
        ("bare", "Deployment bare has no sidecar", "its pods say sidecar.istio.io/inject: false", "remove that from the pod's template"),
        ("none", "Deployment none has no pod", "it is scaled to 0 replicas", f"kubectl -n {where} scale deployment/none --replicas=1"),
        ("absent", "There is no Deployment absent", "there are bare, none", f"kubectl -n {where} get deployments"),
    ):
        with pytest.raises(KubernetesError) as caught:
            CALLS[call](name)
        assert caught.value.what.startswith(what)
        assert why in caught.value.why
        assert caught.value.next.startswith(following)


@pytest.mark.cluster
def test_wait_for_a_deployment_that_is_not_there_ends_at_once(begun: Any) -> None:
    with pytest.raises(KubernetesError, match="There is no Deployment brae"):
        lab.wait("brae")


@pytest.mark.cluster
def test_hint_without_a_number_names_the_chapters_exercises(begun: Any) -> None:
    for call in (lab.hint, lab.check, lab.solution):
        with pytest.raises(CourseError, match=r"needs the number of an exercise.\nWhy: this chapter's are 5.1, 5.2"):
            call()


BROKEN = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: odd}
spec:
  selector: {istio: nobody}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [odd.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: odd}
spec: {hosts: [odd.example.com], gateways: [od], http: [{route: [{destination: {host: bare}}]}]}
"""


@pytest.mark.cluster
def test_mistake_that_no_envoy_can_take_is_one_line_each_and_no_tick(begun: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lab.apply(BROKEN)
    said = capsys.readouterr().out
    assert re.search("! Gateway odd: no ready pod in the cluster has the label istio=nobody", said)
    assert re.search("! VirtualService odd: there is no Gateway od, so no gateway reads it", said)
    assert "Envoy holds all" not in said
    resources.delete(begun.connection, BROKEN, namespace=begun.namespace)


@pytest.mark.cluster
def test_doctor_says_that_the_envoys_take_what_istiod_sends(cluster: Any) -> None:
    found = {check.name: check for check in diagnosis.existing(cluster.kubeconfig, cluster.ingress_url)}
    assert found["cluster"].ok
    assert found["Envoys"].found == "accept what istiod sends" or "rejects its" in found["Envoys"].found


def test_doctor_says_that_this_notebooks_cluster_is_down(monkeypatch: pytest.MonkeyPatch, begun_elsewhere: None) -> None:
    monkeypatch.delenv("MESHCOURSE_INGRESS_URL", raising=False)
    monkeypatch.setenv("MESHCOURSE_CLUSTER", "tasks")
    found = diagnosis.doctor()
    assert not found.ok
    assert "cluster tasks: does not run" in repr(found)
    assert "Next: meshcourse up --name tasks" in repr(found)


@pytest.fixture
def begun_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_current", object())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            (
                "HTTPSConnectionPool(host='127.0.0.1', port=6443): Max retries exceeded with url: /api (Caused by NewConnectionError("
                "'<HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused'))"
            ),
            "127.0.0.1:6443: Connection refused",
        ),
        (
            (
                'E1130 15:00:00.1 memcache.go:265] "Unhandled Error" err="couldn\'t get current server API group list"\n'
                "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n"
            ),
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?",
        ),
    ],
)
def test_why_nobody_answers_is_one_line_and_the_next_command_names_the_cluster(
    monkeypatch: pytest.MonkeyPatch, words: str, why: str
) -> None:
    monkeypatch.delenv("MESHCOURSE_INGRESS_URL", raising=False)
    monkeypatch.setenv("MESHCOURSE_CLUSTER", "tasks")

    def silent(**_: object) -> None:
        raise OSError(words)

    with pytest.raises(KubernetesError) as caught:
        resources.ask(silent)
    error = caught.value
    assert (error.why, error.next) == (why, "meshcourse status --name tasks    # and `meshcourse up --name tasks` if it does not run")
