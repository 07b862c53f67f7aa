"""What the containers of one pod share: System V memory, /dev/shm, the host name and, if asked for, their processes; and kubectl debug."""

from __future__ import annotations

from typing import Any

import pytest
from waiting import until

pytestmark = pytest.mark.cluster


def shell(name: str, script: str = "sleep 600", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **more}


def ready(kubectl: Any, pod: str) -> None:
    kubectl("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=30s")


def inside(kubectl: Any, pod: str, container: str, script: str) -> str:
    return str(kubectl("exec", pod, "-c", container, "--", "sh", "-c", script))


def test_containers_of_a_pod_share_memory_and_name_but_no_processes(kubectl: Any, apply: Any) -> None:
    apply("pair", [shell("one"), shell("two", "sleep 601")], terminationGracePeriodSeconds=0)
    ready(kubectl, "pair")
    inside(kubectl, "pair", "one", "ipcmk -M 1024 >/dev/null; echo there > /dev/shm/word; hostname other 2>/dev/null; true")
    assert inside(kubectl, "pair", "two", "cat /dev/shm/word").strip() == "there"
    assert "1024" in inside(kubectl, "pair", "two", "ipcs -m")
    assert inside(kubectl, "pair", "two", "hostname").strip() == "pair"
    assert "sleep 600" not in inside(kubectl, "pair", "two", "ps -ef")
    apply("stranger", [shell("one")], terminationGracePeriodSeconds=0)
    ready(kubectl, "stranger")
    assert "1024" not in inside(kubectl, "stranger", "one", "ipcs -m; ls /dev/shm")


def test_a_pod_may_share_its_processes(kubectl: Any, apply: Any, get: Any) -> None:
    leaves_one_behind = shell("one", "sleep 602 & exec sleep 600")
    apply("family", [leaves_one_behind, shell("two", "sleep 601")], shareProcessNamespace=True, terminationGracePeriodSeconds=1)
    ready(kubectl, "family")
    seen = inside(kubectl, "family", "two", "ps -ef")
    assert all(f"sleep {seconds}" in seen for seconds in (600, 601, 602)), seen
    inside(kubectl, "family", "two", "kill -9 $(ps -ef | awk '/sleep 600/ && !/awk/ {print $1; exit}' )")
    until(lambda: get("pod", "family")["status"]["containerStatuses"][0]["restartCount"] == 1)
    ready(kubectl, "family")
    assert inside(kubectl, "family", "two", "ps -ef").count("sleep 602") == 1  # what the first run left behind went with it


def test_a_safe_sysctl_of_the_ipc_namespace_is_set(kubectl: Any, apply: Any) -> None:
    context = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    apply("tuned", [shell("app", "cat /proc/sys/kernel/shm_rmid_forced")], securityContext=context, restartPolicy="Never")
    kubectl("wait", "pod/tuned", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert kubectl("logs", "tuned").strip() == "1"


def test_kubectl_debug_looks_at_a_running_container(kubectl: Any, apply: Any, get: Any) -> None:
    apply("patient", [shell("app", "sleep 603")], terminationGracePeriodSeconds=0)
    ready(kubectl, "patient")
    kubectl("debug", "patient", "--image=busybox", "--target=app", "--container=doctor", "--", "sh", "-c", "ps -ef; echo seen; sleep 600")
    until(lambda: "seen" in kubectl("logs", "patient", "-c", "doctor", "--tail=-1") if _runs(get, "doctor") else False)
    assert "sleep 603" in kubectl("logs", "patient", "-c", "doctor")
    assert inside(kubectl, "patient", "doctor", "hostname").strip() == "patient"
    status = get("pod", "patient")["status"]
    assert status["phase"] == "Running"
    assert [each["type"] for each in status["conditions"] if each["status"] != "True"] == []


def test_a_debugger_that_has_ended_stays_ended_and_the_pod_runs_on(kubectl: Any, apply: Any, get: Any) -> None:
    apply("patient", [shell("app")], terminationGracePeriodSeconds=0)
    ready(kubectl, "patient")
    kubectl("debug", "patient", "--image=busybox", "--container=glance", "--", "sh", "-c", "exit 3")
    until(lambda: (_ephemeral(get, "glance").get("state") or {}).get("terminated", {}).get("exitCode") == 3)
    assert _ephemeral(get, "glance")["restartCount"] == 0
    ready(kubectl, "patient")


def test_a_privileged_debugger_runs_without_more_rights_and_is_told_so(kubectl: Any, apply: Any, reasons: Any) -> None:
    apply("patient", [shell("app")], terminationGracePeriodSeconds=0)
    ready(kubectl, "patient")
    kubectl("debug", "patient", "--image=busybox", "--profile=sysadmin", "--container=root", "--", "true")
    until(lambda: "PrivilegedNotGiven" in reasons("patient"))


def _ephemeral(get: Any, name: str) -> Any:
    found = get("pod", "patient")["status"].get("ephemeralContainerStatuses") or []
    return next((each for each in found if each["name"] == name), {})


def _runs(get: Any, name: str) -> bool:
    return "running" in (_ephemeral(get, name).get("state") or {})
