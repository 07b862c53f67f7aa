from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcourse.node.status import statuses
from meshcourse.node.status.statuses import ContainerKind, ContainerRecord, PodRecord, Running, Terminated, Verdict, Waiting

NOW = "2026-01-01T00:00:10Z"
EARLIER = "2026-01-01T00:00:00Z"


def container(name: str = "app", kind: ContainerKind = "main", **changes: Any) -> ContainerRecord:
    return replace(ContainerRecord(name=name, kind=kind, image="nginx", state=Waiting("ContainerCreating")), **changes)


def ended(code: int) -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", EARLIER, NOW, "meshcourse://0")


def running(name: str = "app", kind: ContainerKind = "main", **changes: Any) -> ContainerRecord:
    return container(name, kind, **{"state": Running(EARLIER), "started": True, "ready": True, **changes})


def pod(*containers: ContainerRecord, **changes: Any) -> PodRecord:
    there = PodRecord(host_ip="172.18.0.2", started_at=EARLIER, containers=containers, networked=True, initialized=True)
    return replace(there, **changes)


def conditions(record: PodRecord, previous: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in statuses.status(record, previous or {}, NOW)["conditions"]}


@pytest.mark.parametrize(
    ("record", "phase"),
    [
        (pod(container()), "Pending"),
        (pod(container("setup", "init", state=Running(EARLIER)), container(), initialized=False), "Pending"),
        (pod(running()), "Running"),
        (pod(running(), container("other")), "Pending"),
        (pod(container(state=Waiting("CrashLoopBackOff"), last=ended(1))), "Running"),
        (pod(container(state=ended(1))), "Running"),  # about to start again
        (pod(container(state=ended(0), finished=True)), "Succeeded"),
        (pod(container(state=ended(1), finished=True)), "Failed"),
        (pod(container(state=ended(0), finished=True), running("other")), "Running"),
        (pod(running("proxy", "sidecar"), container(state=ended(0), finished=True)), "Running"),
        (pod(container("proxy", "sidecar", state=ended(143), finished=True), container(state=ended(0), finished=True)), "Succeeded"),
        (pod(container("setup", "init", state=ended(1), finished=True), container(), initialized=False), "Failed"),
        (pod(container("setup", "init", state=Waiting("CrashLoopBackOff"), last=ended(1)), container(), initialized=False), "Pending"),
        (pod(running(), verdict=Verdict("DeadlineExceeded", "too long")), "Failed"),
        (pod(container(), ended=True), "Failed"),
        (pod(container(state=ended(0)), ended=True), "Succeeded"),
        (pod(container(state=ended(137)), ended=True), "Failed"),
        (pod(running(), ended=True), "Running"),
        (pod(container(state=ended(0), finished=True), running("doctor", "ephemeral")), "Succeeded"),
        (pod(running(), container("doctor", "ephemeral")), "Running"),
    ],
)
def test_the_phase_follows_the_containers(record: PodRecord, phase: str) -> None:
    assert statuses.phase(record) == phase


def test_an_ephemeral_container_is_shown_apart_and_counts_for_no_condition() -> None:
    found = statuses.status(pod(running(), container("doctor", "ephemeral")), {}, NOW)
    assert [each["name"] for each in found["ephemeralContainerStatuses"]] == ["doctor"]
    assert [each["name"] for each in found["containerStatuses"]] == ["app"]
    assert {each["status"] for each in found["conditions"]} == {"True"}


def test_a_pod_is_ready_when_all_its_containers_and_sidecars_are() -> None:
    ready = pod(container("setup", "init", state=ended(0), finished=True), running("proxy", "sidecar"), running())
    assert {kind: each["status"] for kind, each in conditions(ready).items()} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "ContainersReady": "True",
        "Ready": "True",
    }
    proxy_not_ready = pod(running("proxy", "sidecar", ready=False), running())
    found = conditions(proxy_not_ready)["Ready"]
    assert (found["status"], found["reason"], found["message"]) == (
        "False",
        "ContainersNotReady",
        "containers with unready status: [proxy]",
    )


def test_initialized_names_the_init_containers_that_are_left() -> None:
    record = pod(container("one", "init"), container("two", "sidecar"), container(), initialized=False)
    found = conditions(record)["Initialized"]
    assert (found["status"], found["reason"]) == ("False", "ContainersNotInitialized")
    assert found["message"] == "containers with incomplete status: [one two]"


def test_a_sidecar_that_restarts_does_not_take_initialized_back() -> None:
    record = pod(container("proxy", "sidecar", state=ended(1)), running())
    assert conditions(record)["Initialized"]["status"] == "True"


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ([], 'corresponding condition of pod readiness gate "a/b" does not exist.'),
        ([{"type": "a/b", "status": "False"}], 'the status of pod readiness gate "a/b" is not "True", but False'),
    ],
)
def test_a_readiness_gate_that_is_not_met_keeps_the_pod_unready(there: list[dict[str, Any]], message: str) -> None:
    found = conditions(pod(running(), readiness_gates=("a/b",)), {"conditions": there})
    assert found["ContainersReady"]["status"] == "True"
    assert (found["Ready"]["status"], found["Ready"]["reason"], found["Ready"]["message"]) == ("False", "ReadinessGatesNotReady", message)


def test_a_readiness_gate_that_is_met_lets_the_pod_be_ready() -> None:
    previous = {"conditions": [{"type": "a/b", "status": "True"}]}
    assert conditions(pod(running(), readiness_gates=("a/b",)), previous)["Ready"]["status"] == "True"


def test_a_condition_keeps_its_time_until_its_value_changes() -> None:
    previous = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": EARLIER}]}
    assert conditions(pod(running()), previous)["Ready"]["lastTransitionTime"] == EARLIER
    assert conditions(pod(running(ready=False)), previous)["Ready"]["lastTransitionTime"] == NOW


@pytest.mark.parametrize(("code", "reason"), [(0, "PodCompleted"), (1, "PodFailed")])
def test_a_pod_at_its_end_is_not_ready_and_says_why(code: int, reason: str) -> None:
    found = conditions(pod(container(state=ended(code), finished=True)))["Ready"]
    assert (found["status"], found["reason"]) == ("False", reason)


def test_a_waiting_container_shows_its_reason_and_its_last_run() -> None:
    record = container(state=Waiting("CrashLoopBackOff", "back-off 10s"), last=ended(3), restarts=2)
    found = statuses.container_status(record)
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert (found["restartCount"], found["ready"], found["started"]) == (2, False, False)


def test_an_init_container_is_ready_once_it_has_succeeded_and_never_started() -> None:
    found = statuses.container_status(container("setup", "init", state=ended(0), started=True))
    assert (found["ready"], found["started"]) == (True, False)


def test_a_refused_pod_shows_reason_and_message() -> None:
    found = statuses.status(pod(container(), verdict=Verdict("PrivilegedNotSupported", "no")), {}, NOW)
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "PrivilegedNotSupported", "no")
