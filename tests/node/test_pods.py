"""Pods on the real API server: what starts, in which order, as which user, and with which status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

SHARED = {"volumes": [{"name": "shared", "emptyDir": {}}]}
MOUNT = [{"name": "shared", "mountPath": "/shared"}]


def shell(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **more}


def wait(kubectl: Callable[..., str], pod: str, path: str, value: str) -> None:
    kubectl("wait", f"pod/{pod}", f"--for=jsonpath={path}={value}", "--timeout=30s")


def test_init_containers_run_in_order_before_the_app(kubectl: Any, apply: Any) -> None:
    inits = [shell(name, f"echo {name} >> /shared/order", volumeMounts=MOUNT) for name in ("one", "two")]
    app = shell("app", "cat /shared/order; echo app", volumeMounts=MOUNT)
    apply("ordered", [app], initContainers=inits, restartPolicy="Never", **SHARED)
    wait(kubectl, "ordered", "{.status.phase}", "Succeeded")
    assert kubectl("logs", "ordered").split() == ["one", "two", "app"]


def test_an_init_container_that_fails_ends_a_pod_that_never_restarts(kubectl: Any, apply: Any, get: Any) -> None:
    apply("doomed", [shell("app", "echo never")], initContainers=[shell("setup", "exit 4")], restartPolicy="Never")
    wait(kubectl, "doomed", "{.status.phase}", "Failed")
    status = get("pod", "doomed")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


def test_a_native_sidecar_starts_before_and_ends_after_the_app(kubectl: Any, apply: Any, get: Any) -> None:
    sidecar = shell(
        "proxy",
        "trap 'echo proxy ends >> /shared/order; exit 0' TERM; sleep 0.3; echo proxy >> /shared/order; while true; do sleep 0.05; done",
        restartPolicy="Always",
        startupProbe={"exec": {"command": ["grep", "proxy", "/shared/order"]}, "periodSeconds": 1},
        volumeMounts=MOUNT,
    )
    app = shell("app", "echo app >> /shared/order; sleep 0.3; echo app ends >> /shared/order", volumeMounts=MOUNT)
    reader = shell(
        "reader",
        "trap 'sleep 0.3; cat /shared/order; exit 0' TERM; while true; do sleep 0.05; done",
        restartPolicy="Always",
        volumeMounts=MOUNT,
    )
    apply("meshed", [app], initContainers=[reader, sidecar], restartPolicy="Never", **SHARED)
    wait(kubectl, "meshed", "{.status.phase}", "Succeeded")
    assert kubectl("logs", "meshed", "-c", "reader").splitlines() == ["proxy", "app", "app ends", "proxy ends"]
    ended = get("pod", "meshed")["status"]["initContainerStatuses"]
    assert [each["state"]["terminated"]["exitCode"] for each in ended] == [0, 0]


def test_a_post_start_hook_holds_up_the_next_container(kubectl: Any, apply: Any) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "sleep 0.5; echo hook >> /shared/order"]}}}
    first = shell("first", "sleep 60", lifecycle=hook, volumeMounts=MOUNT)
    second = shell("second", "echo second >> /shared/order; cat /shared/order; sleep 60", volumeMounts=MOUNT)
    apply("held", [first, second], terminationGracePeriodSeconds=1, **SHARED)
    kubectl("wait", "pod/held", "--for=condition=Ready", "--timeout=30s")
    assert kubectl("logs", "held", "-c", "second").split() == ["hook", "second"]


def test_run_as_user_and_groups(kubectl: Any, apply: Any) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 777, "supplementalGroups": [888]}
    app = shell("app", "id -u; id -g; id -G; stat -c %g /shared; touch /shared/mine && echo written", volumeMounts=MOUNT)
    apply("somebody", [app], restartPolicy="Never", securityContext=context, **SHARED)
    wait(kubectl, "somebody", "{.status.phase}", "Succeeded")
    lines = kubectl("logs", "somebody").splitlines()
    assert lines[:2] == ["1234", "2345"]
    assert {"777", "888"} <= set(lines[2].split())
    assert lines[3:] == ["777", "written"]


def test_a_root_image_is_not_started_when_it_must_not_run_as_root(kubectl: Any, apply: Any, get: Any) -> None:
    apply("rootless", [{"name": "app", "image": "nginx"}], securityContext={"runAsNonRoot": True})
    wait(kubectl, "rootless", "{.status.containerStatuses[0].state.waiting.reason}", "CreateContainerConfigError")
    message = get("pod", "rootless")["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.startswith("container has runAsNonRoot and image will run as root")


def test_the_root_file_system_can_be_read_only(kubectl: Any, apply: Any) -> None:
    app = shell("app", "touch /file || echo refused", securityContext={"readOnlyRootFilesystem": True})
    apply("frozen", [app], restartPolicy="Never")
    wait(kubectl, "frozen", "{.status.phase}", "Succeeded")
    assert "refused" in kubectl("logs", "frozen").splitlines()


def test_command_and_args_see_the_variables_and_the_working_folder(kubectl: Any, apply: Any) -> None:
    app = {
        "name": "app",
        "image": "busybox",
        "command": ["sh", "-c", 'pwd; echo "$@"', "sh"],
        "args": ["$(GREETING)", "$(MISSING)", "$$(GREETING)"],
        "env": [{"name": "GREETING", "value": "hello"}],
        "workingDir": "/tmp",
    }
    apply("spoken", [app], restartPolicy="Never")
    wait(kubectl, "spoken", "{.status.phase}", "Succeeded")
    assert kubectl("logs", "spoken").splitlines() == ["/tmp", "hello $(MISSING) $(GREETING)"]


def test_no_path_of_a_pod_leads_out_of_its_container(kubectl: Any, apply: Any, tmp_path: Path) -> None:
    out = "/.." * 20 + str(tmp_path)
    app = shell("app", "pwd", workingDir=f"{out}/work", terminationMessagePath=f"{out}/message")
    app["volumeMounts"] = [*MOUNT, {"name": "shared", "mountPath": f"/shared{out}/mounted"}]
    apply("climber", [app], restartPolicy="Never", **SHARED)
    wait(kubectl, "climber", "{.status.phase}", "Succeeded")
    assert kubectl("logs", "climber").strip() == f"{tmp_path}/work"
    assert list(tmp_path.iterdir()) == []


def test_names_resolve_as_the_pod_says(kubectl: Any, apply: Any, namespace: str) -> None:
    app = shell("app", "hostname; cat /etc/hosts /etc/resolv.conf")
    aliases = [{"ip": "10.9.8.7", "hostnames": ["old.example"]}]
    apply("named", [app], restartPolicy="Never", hostname="db", subdomain="sub", hostAliases=aliases)
    wait(kubectl, "named", "{.status.phase}", "Succeeded")
    text = kubectl("logs", "named")
    assert text.splitlines()[0] == "db"
    assert f"db.sub.{namespace}.svc.cluster.local" in text
    assert "10.9.8.7\told.example" in text
    assert f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local" in text


def test_sysctls_of_the_network_are_the_pods_own(kubectl: Any, apply: Any) -> None:
    context = {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout", "value": "17"}]}
    apply("tuned", [shell("app", "cat /proc/sys/net/ipv4/tcp_fin_timeout")], restartPolicy="Never", securityContext=context)
    wait(kubectl, "tuned", "{.status.phase}", "Succeeded")
    assert kubectl("logs", "tuned").strip() == "17"


def test_a_pod_waits_for_a_config_map_that_comes_later(kubectl: Any, apply: Any, reasons: Any) -> None:
    app = shell("app", "cat /config/word", volumeMounts=[{"name": "config", "mountPath": "/config"}])
    apply("patient", [app], restartPolicy="Never", volumes=[{"name": "config", "configMap": {"name": "later"}}])
    wait(kubectl, "patient", "{.status.containerStatuses[0].state.waiting.reason}", "ContainerCreating")
    kubectl("wait", "--for=create", "event", "--field-selector=reason=FailedMount,involvedObject.name=patient", "--timeout=30s")
    assert 'configmap "later" not found' in reasons("patient")["FailedMount"]
    kubectl("create", "configmap", "later", "--from-literal=word=patience")
    wait(kubectl, "patient", "{.status.phase}", "Succeeded")
    assert kubectl("logs", "patient").strip() == "patience"


def test_a_readiness_gate_of_somebody_else_is_honoured(kubectl: Any, apply: Any, get: Any) -> None:
    apply("gated", [{"name": "app", "image": "nginx"}], readinessGates=[{"conditionType": "example.com/ok"}])
    kubectl("wait", "pod/gated", "--for=condition=ContainersReady", "--timeout=30s")
    ready = next(each for each in get("pod", "gated")["status"]["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    gate = {"status": {"conditions": [{"type": "example.com/ok", "status": "True"}]}}
    kubectl("patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p", json.dumps(gate))
    kubectl("wait", "pod/gated", "--for=condition=Ready", "--timeout=30s")


def test_a_variable_whose_name_is_no_identifier_reaches_what_a_shell_starts(kubectl: Any, apply: Any) -> None:
    app = {"name": "app", "image": "busybox", "command": ["sh", "-c", "env"], "env": [{"name": "a-file.conf", "value": "7"}]}
    apply("odd", [app], restartPolicy="Never")
    kubectl("wait", "pod/odd", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert "a-file.conf=7" in kubectl("logs", "odd").splitlines()


def test_an_unknown_image_waits_in_image_pull_back_off(kubectl: Any, apply: Any, get: Any, reasons: Any) -> None:
    apply("stranger", [{"name": "app", "image": "example.com/nowhere:1"}])
    wait(kubectl, "stranger", "{.status.containerStatuses[0].state.waiting.reason}", "ImagePullBackOff")
    message = get("pod", "stranger")["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.startswith('Back-off pulling image "example.com/nowhere:1": ErrImagePull: ')
    assert "meshcourse images" in message
    assert {"Failed", "BackOff"} <= reasons("stranger").keys()
    kubectl("set", "image", "pod/stranger", "app=nginx")
    kubectl("wait", "pod/stranger", "--for=condition=Ready", "--timeout=30s")


def test_readiness_follows_the_probe_both_ways(kubectl: Any, apply: Any) -> None:
    probe = {"exec": {"command": ["test", "-e", "/shared/open"]}, "periodSeconds": 1, "failureThreshold": 1}
    apply("door", [shell("app", "sleep 60", readinessProbe=probe, volumeMounts=MOUNT)], terminationGracePeriodSeconds=1, **SHARED)
    wait(kubectl, "door", "{.status.phase}", "Running")
    kubectl("wait", "pod/door", "--for=condition=Ready=false", "--timeout=30s")
    kubectl("exec", "door", "--", "touch", "/shared/open")
    kubectl("wait", "pod/door", "--for=condition=Ready", "--timeout=30s")
    kubectl("exec", "door", "--", "rm", "/shared/open")
    kubectl("wait", "pod/door", "--for=condition=Ready=false", "--timeout=30s")
