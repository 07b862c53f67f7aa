"""What this node refuses to run, decided before anything is started.

A pod here is a few ordinary processes without root on the machine. hostNetwork, hostPort and hostPath are given by the node's own network
and files, which are not the machine's. What would need the machine itself (its process list, its devices), a kernel feature that is not
built, or an operating system that is not there is refused with a message, never ignored.
A privileged container runs with the rights of an ordinary one (spec/security_context.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcourse.node.port_mappings import PROTOCOLS
from meshcourse.node.status.statuses import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshcourse.core.json_types import Json

_KIND = "a kind cluster runs such pods"

# kubelet's own list of sysctls that a pod may set.
ALLOWED_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)


PORT_TAKEN = Verdict(
    "NodePorts", "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
)


def verdict(pod: Json) -> Verdict | None:
    """Why this node refuses `pod`, or None when it will try to run it."""
    for reason, message in _objections(pod):
        return Verdict(reason, f"Pod was rejected: {message}")
    return None


def objection(container: Json) -> tuple[str, str] | None:
    """Why this node refuses a container, as (reason, message), or None."""
    return next(_container_objections(container), None)


def _objections(pod: Json) -> Iterator[tuple[str, str]]:
    spec = pod["spec"]
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        yield "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    for name, means in (("hostPID", "the host's processes"), ("hostIPC", "the host's IPC")):
        if spec.get(name):
            yield f"{name[0].upper()}{name[1:]}NotSupported", f"{name}: true asks for {means}, which this node does not give; {_KIND}"
    if spec.get("hostUsers") is False:
        yield "UserNamespacesNotSupported", f"hostUsers: false is not built in this node; {_KIND}"
    if spec.get("runtimeClassName"):
        message = f'this node has no runtime class "{spec["runtimeClassName"]}"; leave runtimeClassName out'
        yield "RuntimeClassNotSupported", message
    if spec.get("resourceClaims"):
        yield "ResourceClaimsNotSupported", f"resourceClaims (dynamic resource allocation) is not built in this node; {_KIND}"
    yield from _setting_objections(spec)
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        yield from _container_objections(container)


def _setting_objections(spec: Json) -> Iterator[tuple[str, str]]:
    for sysctl in (spec.get("securityContext") or {}).get("sysctls") or []:
        if sysctl["name"] not in ALLOWED_SYSCTLS:
            yield "SysctlForbidden", f'forbidden sysctl: "{sysctl["name"]}" not allowlisted'


def _container_objections(container: Json) -> Iterator[tuple[str, str]]:
    which = f'container "{container["name"]}"'
    if container.get("volumeDevices"):
        yield "BlockDevicesNotSupported", f"{which} asks for volumeDevices: this node has no block devices; {_KIND}"
    for port in container.get("ports") or []:
        if port.get("hostPort") and port.get("protocol", "TCP") not in PROTOCOLS:
            message = f"{which} asks for hostPort {port['hostPort']} of {port['protocol']}: this node has them for TCP and UDP; {_KIND}"
            yield "HostPortNotSupported", message
    for rule in container.get("restartPolicyRules") or []:
        if rule.get("action") != "Restart":
            yield "RestartRuleNotSupported", f"{which} has a restart rule with action {rule.get('action')}, which is not built in this node"
