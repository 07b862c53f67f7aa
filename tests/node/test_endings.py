"""How containers and pods end on the real API server: exits, restarts, deletion."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

pytestmark = pytest.mark.cluster


def shell(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **more}


def wait(kubectl: Any, pod: str, path: str, value: str) -> None:
    kubectl("wait", f"pod/{pod}", f"--for=jsonpath={path}={value}", "--timeout=30s")


def test_a_crashing_container_is_restarted_with_back_off(kubectl: Any, apply: Any, get: Any, reasons: Any) -> None:
    apply("crash", [shell("app", "echo run; exit 3")])
    wait(kubectl, "crash", "{.status.containerStatuses[0].state.waiting.reason}", "CrashLoopBackOff")
    status = get("pod", "crash")["status"]
    app = status["containerStatuses"][0]
    assert status["phase"] == "Running"
    assert app["restartCount"] == 1  # the first restart is immediate, the second waits
    assert app["lastState"]["terminated"]["exitCode"] == 3
    assert app["lastState"]["terminated"]["reason"] == "Error"
    assert app["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=app pod=crash_")
    assert kubectl("logs", "crash").strip() == kubectl("logs", "crash", "--previous").strip() == "run"
    assert "BackOff" in reasons("crash")


@pytest.mark.parametrize(("policy", "code", "phase"), [("OnFailure", 0, "Succeeded"), ("Never", 0, "Succeeded"), ("Never", 5, "Failed")])
def test_a_pod_ends_as_its_restart_policy_says(kubectl: Any, apply: Any, policy: str, code: int, phase: str) -> None:
    apply("brief", [shell("app", f"exit {code}")], restartPolicy=policy)
    wait(kubectl, "brief", "{.status.phase}", phase)


def test_on_failure_restarts_until_it_succeeds(kubectl: Any, apply: Any, get: Any) -> None:
    script = "[ -e /shared/tried ] && exit 0; touch /shared/tried; exit 1"
    mount = [{"name": "shared", "mountPath": "/shared"}]
    apply("twice", [shell("app", script, volumeMounts=mount)], restartPolicy="OnFailure", volumes=[{"name": "shared", "emptyDir": {}}])
    wait(kubectl, "twice", "{.status.phase}", "Succeeded")
    assert get("pod", "twice")["status"]["containerStatuses"][0]["restartCount"] == 1


def test_termination_message_is_kept(kubectl: Any, apply: Any, get: Any) -> None:
    file = shell("file", "echo -n because > /dev/termination-log; exit 1")
    logs = shell("logs", "echo last words; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    apply("talks", [file, logs], restartPolicy="Never")
    wait(kubectl, "talks", "{.status.phase}", "Failed")
    ended = get("pod", "talks")["status"]["containerStatuses"]
    assert [each["state"]["terminated"]["message"] for each in ended] == ["because", "last words\n"]


def test_a_liveness_probe_that_fails_restarts_the_container(kubectl: Any, apply: Any, reasons: Any) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    apply("sick", [shell("app", "trap 'exit 0' TERM; while true; do sleep 0.05; done", livenessProbe=probe)])
    wait(kubectl, "sick", "{.status.containerStatuses[0].restartCount}", "1")
    assert reasons("sick")["Killing"] == "Container app failed liveness probe, will be restarted"
    assert reasons("sick")["Unhealthy"].startswith("Liveness probe failed")


def test_a_liveness_probe_that_fails_ends_a_container_that_never_restarts(kubectl: Any, apply: Any, get: Any, reasons: Any) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    apply("sick", [shell("app", "sleep 60", livenessProbe=probe)], restartPolicy="Never")
    wait(kubectl, "sick", "{.status.phase}", "Failed")
    assert get("pod", "sick")["status"]["containerStatuses"][0]["restartCount"] == 0
    assert reasons("sick")["Killing"] == "Container app failed liveness probe"


def test_a_changed_image_replaces_the_container(kubectl: Any, apply: Any, get: Any) -> None:
    apply("moved", [shell("app", "sleep 60")], terminationGracePeriodSeconds=1)
    kubectl("wait", "pod/moved", "--for=condition=Ready", "--timeout=30s")
    kubectl("set", "image", "pod/moved", "app=busybox:1.36")
    wait(kubectl, "moved", "{.status.containerStatuses[0].image}", "busybox:1.36")
    assert get("pod", "moved")["status"]["containerStatuses"][0]["restartCount"] == 1


def test_deletion_is_graceful(kubectl: Any, apply: Any) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo pre-stop > /proc/2/fd/1"]}}}
    app = shell("app", "trap 'echo asked; sleep 2; echo done; exit 0' TERM; echo up; while true; do sleep 0.05; done", lifecycle=hook)
    apply("polite", [app], terminationGracePeriodSeconds=20)
    kubectl("wait", "pod/polite", "--for=condition=Ready", "--timeout=30s")
    kubectl("delete", "pod", "polite", "--wait=false")
    log = kubectl("logs", "polite", "--follow")
    assert log.split() == ["up", "pre-stop", "asked", "done"]
    kubectl("wait", "pod/polite", "--for=delete", "--timeout=10s")


def test_a_container_that_ignores_the_request_is_killed_after_the_grace_period(kubectl: Any, apply: Any) -> None:
    apply("stubborn", [shell("app", "trap '' TERM; while true; do sleep 0.05; done")], terminationGracePeriodSeconds=1)
    kubectl("wait", "pod/stubborn", "--for=condition=Ready", "--timeout=30s")
    began = time.monotonic()
    kubectl("delete", "pod", "stubborn", "--timeout=15s")
    assert 1.0 <= time.monotonic() - began < 10


def test_a_forced_deletion_ends_the_pod_at_once(kubectl: Any, apply: Any) -> None:
    apply("stubborn", [shell("app", "trap '' TERM; while true; do sleep 0.05; done")], terminationGracePeriodSeconds=600)
    kubectl("wait", "pod/stubborn", "--for=condition=Ready", "--timeout=30s")
    kubectl("delete", "pod", "stubborn", "--wait=false")
    kubectl("delete", "pod", "stubborn", "--force", "--grace-period=0")
    apply("stubborn", [shell("app", "echo again; sleep 60")], terminationGracePeriodSeconds=1)
    kubectl("wait", "pod/stubborn", "--for=condition=Ready", "--timeout=30s")
    assert kubectl("logs", "stubborn").strip() == "again"


def test_a_deadline_ends_the_pod(kubectl: Any, apply: Any, get: Any) -> None:
    apply("late", [shell("app", "sleep 60")], activeDeadlineSeconds=1, restartPolicy="Never")
    wait(kubectl, "late", "{.status.phase}", "Failed")
    assert get("pod", "late")["status"]["reason"] == "DeadlineExceeded"


def test_a_deadline_may_be_set_while_the_pod_runs(kubectl: Any, apply: Any, get: Any) -> None:
    apply("patient", [shell("app", "sleep 60")], restartPolicy="Never", terminationGracePeriodSeconds=0)
    kubectl("wait", "pod/patient", "--for=condition=Ready", "--timeout=30s")
    kubectl("patch", "pod", "patient", "--patch", '{"spec": {"activeDeadlineSeconds": 2}}')
    wait(kubectl, "patient", "{.status.phase}", "Failed")
    assert get("pod", "patient")["status"]["reason"] == "DeadlineExceeded"


def test_a_job_completes(kubectl: Any) -> None:
    kubectl("create", "job", "once", "--image=busybox", "--", "echo", "done")
    kubectl("wait", "job/once", "--for=condition=Complete", "--timeout=30s")
    assert kubectl("logs", "job/once").strip() == "done"


def test_a_deployment_rolls_to_a_new_version_without_losing_a_ready_pod(kubectl: Any, get: Any) -> None:
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "nginx", "env": [{"name": "V", "value": "1"}]}]},
    }
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("set", "env", "deployment/web", "V=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("wait", "pod", "-l", "app=web", "--for=jsonpath={.spec.containers[0].env[0].value}=2", "--timeout=30s")
    assert len(get("pods", "-l", "app=web")["items"]) >= 2


def test_a_program_that_does_not_exist_is_named(kubectl: Any, apply: Any, get: Any) -> None:
    apply("typo", [{"name": "app", "image": "busybox", "command": ["nonesuch"]}], restartPolicy="Never")
    wait(kubectl, "typo", "{.status.phase}", "Failed")
    ended = get("pod", "typo")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "StartError"
    assert 'exec: "nonesuch"' in ended["message"]


def test_a_refused_deployment_does_not_make_pods_without_end(kubectl: Any, get: Any) -> None:
    labels = {"app": "nosy"}
    spec = {"hostPID": True, "containers": [{"name": "web", "image": "nginx"}]}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "nosy"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    kubectl("wait", "--for=create", "pod", "-l", "app=nosy", "--timeout=30s")
    reason = "{.status.containerStatuses[0].state.waiting.reason}"
    kubectl("wait", "pod", "-l", "app=nosy", f"--for=jsonpath={reason}=HostPIDNotSupported", "--timeout=30s")
    assert len(get("pods", "-l", "app=nosy")["items"]) == 1
