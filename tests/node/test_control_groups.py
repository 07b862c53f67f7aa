"""Requests and limits that hold, and in-place resize: where control groups can be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.node.process import control_groups
from meshcourse.node.process.control_groups import Group, NoControlGroups
from meshcourse.node.spec.downward_api import quantity
from meshcourse.node.spec.resources import Limits

pytestmark = pytest.mark.cluster


@pytest.fixture
def limited(get: Any) -> None:
    """Skip where the node says that limits do not hold."""
    conditions = {each["type"]: each for each in get("nodes")["items"][0]["status"]["conditions"]}
    if conditions["LimitsEnforced"]["status"] != "True":
        pytest.skip(conditions["LimitsEnforced"]["message"])


def container(script: str, requests: dict[str, str], limits: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    resources = {"requests": requests, **({"limits": limits} if limits else {})}
    return {"name": "app", "image": "busybox", "command": ["sh", "-c", script], "resources": resources, **more}


def resize(kubectl: Any, pod: str, **resources: Any) -> None:
    patch = {"spec": {"containers": [{"name": "app", "resources": resources}]}}
    kubectl("patch", "pod", pod, "--subresource=resize", "--patch", json.dumps(patch))


def own_status(get: Any, pod: str) -> dict[str, Any]:
    found: dict[str, Any] = get("pod", pod)["status"]["containerStatuses"][0]
    return found


@pytest.mark.usefixtures("limited")
def test_a_container_that_takes_more_memory_than_its_limit_is_killed_and_says_so(kubectl: Any, apply: Any, get: Any) -> None:
    apply("greedy", [container("tail /dev/zero; exit $?", {}, {"memory": "40Mi"})], restartPolicy="Never")
    kubectl("wait", "pod/greedy", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s")
    ended = own_status(get, "greedy")["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


@pytest.mark.usefixtures("limited")
def test_a_limit_of_processor_time_holds(kubectl: Any, apply: Any) -> None:
    busy = "end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done; cat /proc/self/cgroup >/dev/null; times"
    apply("busy", [container(busy, {}, {"cpu": "100m"})], restartPolicy="Never")
    kubectl("wait", "pod/busy", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    used = [word for line in kubectl("logs", "busy").splitlines() for word in line.split()]
    seconds = sum(int(minutes) * 60 + float(rest) for minutes, rest in (word.rstrip("s").split("m") for word in used))
    assert seconds < 1.0, used


@pytest.mark.usefixtures("limited")
def test_a_resize_holds_in_the_running_container_and_its_status_says_so(kubectl: Any, apply: Any, get: Any, reasons: Any) -> None:
    apply("grown", [container("sleep 600", {"cpu": "20m", "memory": "32Mi"}, {"cpu": "30m", "memory": "48Mi"})])
    kubectl("wait", "pod/grown", "--for=condition=Ready", "--timeout=30s")
    before = own_status(get, "grown")
    assert before["resources"]["limits"] == {"cpu": "30m", "memory": "48Mi"}
    assert before["allocatedResources"] == {"cpu": "20m", "memory": "32Mi"}
    resize(kubectl, "grown", requests={"cpu": "40m", "memory": "64Mi"}, limits={"cpu": "60m", "memory": "96Mi"})
    until(lambda: own_status(get, "grown")["resources"]["limits"] == {"cpu": "60m", "memory": "96Mi"})
    after = own_status(get, "grown")
    assert after["allocatedResources"] == {"cpu": "40m", "memory": "64Mi"}
    assert (after["restartCount"], after["containerID"]) == (0, before["containerID"])
    until(lambda: "ResizeCompleted" in reasons("grown"))
    assert not {each["type"] for each in get("pod", "grown")["status"]["conditions"]} & {"PodResizePending", "PodResizeInProgress"}
    where = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    assert kubectl("exec", "grown", "--", "sh", "-c", f"cat {where} 2>/dev/null; true").strip() == str(96 << 20)


@pytest.mark.usefixtures("limited")
def test_a_resize_restarts_the_container_where_its_policy_says_so(kubectl: Any, apply: Any, get: Any) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    apply("again", [container("sleep 600", {"cpu": "20m", "memory": "32Mi"}, resizePolicy=policy)], terminationGracePeriodSeconds=0)
    kubectl("wait", "pod/again", "--for=condition=Ready", "--timeout=30s")
    resize(kubectl, "again", requests={"cpu": "30m"})
    until(lambda: own_status(get, "again")["resources"]["requests"]["cpu"] == "30m")
    assert own_status(get, "again")["restartCount"] == 0
    resize(kubectl, "again", requests={"memory": "40Mi"})
    until(lambda: own_status(get, "again")["restartCount"] == 1)
    until(lambda: own_status(get, "again").get("resources", {}).get("requests", {}).get("memory") == "40Mi")


@pytest.mark.usefixtures("limited")
def test_a_resize_waits_until_another_pod_leaves_the_room_for_it(kubectl: Any, apply: Any, get: Any) -> None:
    processors = int(get("nodes")["items"][0]["status"]["allocatable"]["cpu"])
    apply("big", [container("sleep 600", {"cpu": f"{processors * 500}m"})], terminationGracePeriodSeconds=0)
    apply("late", [container("sleep 600", {"cpu": "20m"})])
    for name in ("big", "late"):
        kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=30s")

    def pending() -> str:
        found = [each for each in get("pod", "late")["status"]["conditions"] if each["type"] == "PodResizePending"]
        return f"{found[0]['reason']}: {found[0]['message']}" if found else ""

    wanted = f"{processors * 700}m"
    resize(kubectl, "late", requests={"cpu": wanted})
    until(lambda: pending().startswith("Deferred: Node didn't have enough resource: cpu"))
    assert own_status(get, "late")["allocatedResources"] == {"cpu": "20m"}
    kubectl("delete", "pod", "big")
    until(lambda: quantity(own_status(get, "late")["allocatedResources"]["cpu"]) == quantity(wanted))
    until(lambda: not pending())


@pytest.mark.usefixtures("limited")
def test_a_memory_limit_below_what_is_used_is_an_error_of_the_resize(kubectl: Any, apply: Any, get: Any) -> None:
    script = "head -c 50000000 /dev/zero >/tmp/used; sleep 600"
    apply("full", [container(script, {"memory": "20Mi"}, {"memory": "100Mi"})])
    kubectl("wait", "pod/full", "--for=condition=Ready", "--timeout=30s")
    until(lambda: "50000000" in kubectl("exec", "full", "--", "stat", "-c", "%s", "/tmp/used"))
    resize(kubectl, "full", limits={"memory": "30Mi"})

    def progress() -> str:
        found = [each for each in get("pod", "full")["status"]["conditions"] if each["type"] == "PodResizeInProgress"]
        return f"{found[0].get('reason')}: {found[0].get('message')}" if found else ""

    until(lambda: progress().startswith("Error: the memory limit"))
    assert own_status(get, "full")["resources"]["limits"] == {"memory": "100Mi"}
    kubectl("exec", "full", "--", "rm", "/tmp/used")
    until(lambda: not progress(), 30)
    assert own_status(get, "full")["resources"]["limits"] == {"memory": "30Mi"}


@pytest.mark.usefixtures("limited")
def test_nothing_of_a_pods_group_stays(kubectl: Any, apply: Any, get: Any) -> None:
    apply("short", [container("true", {"cpu": "10m"})], restartPolicy="Never")
    kubectl("wait", "pod/short", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    uid = get("pod", "short")["metadata"]["uid"]
    until(lambda: not list(Path("/sys/fs/cgroup").glob(f"**/{uid}")), 10)


def test_a_group_of_version_2_is_written_as_the_kernel_wants_it(tmp_path: Path) -> None:
    """Files only: this is not a kernel."""
    proc = tmp_path / "self"
    proc.write_text("0::/user.slice/mine.scope\n")
    own = tmp_path / "user.slice" / "mine.scope"
    own.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (own / "cgroup.controllers").write_text("memory pids\n")
    with pytest.raises(NoControlGroups, match="not delegated"):
        control_groups.claim("meshcourse-x", tmp_path, proc)
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    group = control_groups.claim("meshcourse-x", tmp_path, proc)
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory"
    (own / "meshcourse-x" / "memory.current").write_text("1000\n")
    group.limit_processor(Limits(shares=1024, quota=50_000))
    group.limit_memory(Limits(memory=4096))
    written = {name: (own / "meshcourse-x" / name).read_text() for name in ("cpu.weight", "cpu.max", "memory.max", "memory.oom.group")}
    assert written == {"cpu.weight": "39", "cpu.max": "50000 100000", "memory.max": "4096", "memory.oom.group": "1"}


def test_version_1_is_roots_alone(tmp_path: Path) -> None:
    proc = tmp_path / "self"
    proc.write_text("4:memory:/a\n1:cpu:/\n")
    with pytest.raises(NoControlGroups, match="only root"):
        control_groups.find(tmp_path, proc)
    for path in ("memory/a", "cpu"):
        (tmp_path / path).mkdir(parents=True)
    assert control_groups.find(tmp_path, proc) == Group(1, {"cpu": tmp_path / "cpu", "memory": tmp_path / "memory" / "a"})
