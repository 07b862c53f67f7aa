from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node.pod import admission


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app", "image": "nginx", **(container or {})}], **spec}}


@pytest.mark.parametrize(
    ("refused", "reason", "names"),
    [
        (pod(hostPID=True), "HostPIDNotSupported", "hostPID"),
        (pod(hostIPC=True), "HostIPCNotSupported", "hostIPC"),
        (pod(os={"name": "windows"}), "PodOSNotSupported", "OS field"),
        (pod(runtimeClassName="gvisor"), "RuntimeClassNotSupported", '"gvisor"'),
        (pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), "SysctlForbidden", "kernel.msgmax"),
        (pod({"volumeDevices": [{"name": "disk", "devicePath": "/dev/xvda"}]}), "BlockDevicesNotSupported", 'container "app"'),
        (pod({"ports": [{"containerPort": 80, "hostPort": 80, "protocol": "SCTP"}]}), "HostPortNotSupported", "hostPort 80 of SCTP"),
        (pod(initContainers=[{"name": "setup", "volumeDevices": [{"name": "disk"}]}]), "BlockDevicesNotSupported", "setup"),
    ],
)
def test_what_cannot_run_is_refused_with_its_name(refused: dict[str, Any], reason: str, names: str) -> None:
    verdict = admission.verdict(refused)
    assert verdict is not None
    assert verdict.reason == reason
    assert verdict.message.startswith("Pod was rejected: ")
    assert names in verdict.message


def test_a_debugger_is_judged_like_any_container() -> None:
    assert admission.objection({"name": "doctor", "image": "busybox"}) is None
    found = admission.objection({"name": "doctor", "image": "busybox", "volumeDevices": [{"name": "disk", "devicePath": "/dev/xvda"}]})
    assert found is not None
    assert found[0] == "BlockDevicesNotSupported"


def test_an_ordinary_pod_is_taken() -> None:
    context = {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"add": ["NET_ADMIN"]}}
    limits = {"limits": {"memory": "1Gi"}}
    assert admission.verdict(pod({"securityContext": context, "resources": limits}, os={"name": "linux"})) is None
    volumes = [{"name": "v", "hostPath": {"path": "/etc"}}]
    port = {"ports": [{"containerPort": 80, "hostPort": 80}]}
    assert admission.verdict(pod(port, hostNetwork=True, shareProcessNamespace=True, volumes=volumes)) is None
