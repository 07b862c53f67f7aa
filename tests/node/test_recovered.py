"""What is made of a pod that ran on its node before the node went away."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node.status.recovered import recover
from meshcourse.node.status.statuses import ContainerRecord, Terminated, Waiting

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
SPEC = {"name": "app", "image": "nginx"}
FRESH = ContainerRecord(name="app", kind="main", image="nginx", state=Waiting("ContainerCreating"))
RAN: dict[str, Any] = {"running": {"startedAt": EARLIER}}


def succeeded(code: int = 0) -> dict[str, Any]:
    ended = {"exitCode": code, "reason": "Completed", "startedAt": EARLIER, "finishedAt": EARLIER, "containerID": "meshcourse://1"}
    return {"terminated": ended}


def pod(policy: str, state: dict[str, Any], container_id: str = "meshcourse://1") -> dict[str, Any]:
    known = {"name": "app", "restartCount": 2, "state": state, "containerID": container_id, "imageID": "nginx@1"}
    return {"spec": {"restartPolicy": policy, "containers": [SPEC]}, "status": {"containerStatuses": [known]}}


@pytest.mark.parametrize("manifest", [{"spec": {}}, pod("Always", {"waiting": {"reason": "ContainerCreating"}}, container_id="")])
def test_a_container_that_never_ran_begins_afresh(manifest: dict[str, Any]) -> None:
    assert recover(FRESH, manifest, SPEC, NOW) is FRESH


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_what_ran_starts_again_with_one_restart_more(policy: str) -> None:
    found = recover(FRESH, pod(policy, RAN), SPEC, NOW)
    assert (found.restarts, found.finished, found.state) == (3, False, FRESH.state)
    assert found.last == Terminated(255, "Unknown", EARLIER, NOW, "meshcourse://1")


def test_what_may_run_once_only_does_not_run_twice() -> None:
    found = recover(FRESH, pod("Never", RAN), SPEC, NOW)
    assert found.finished
    assert found.state == Terminated(255, "Unknown", EARLIER, NOW, "meshcourse://1")
    assert found.restarts == 2


def test_what_had_done_its_work_does_not_do_it_again() -> None:
    found = recover(FRESH, pod("OnFailure", succeeded()), SPEC, NOW)
    assert found.finished
    assert isinstance(found.state, Terminated)
    assert found.state.exit_code == 0
