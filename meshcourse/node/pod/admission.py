"""What this node refuses to run, decided before anything is started.

A pod here is a few ordinary processes without root on the host. A pod that needs the host itself (its network, its process list, its
devices), a kernel feature that is not implemented, or another operating system is refused with a message, never silently ignored. Resource
requests and limits are accepted and reported but not enforced: there are no cgroups, so a container may use all of the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcourse.node.status.statuses import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshcourse.core.json_types import Json

_KIND = "a kind cluster runs such pods"

# kubelet's own list of sysctls that a pod may set, less the ones outside the network namespace.
ALLOWED_SYSCTLS = frozenset(
    {
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


def verdict(pod: Json) -> Verdict | None:
    """Why this node refuses `pod`, or None when it will try to run it."""
    for reason, message in _objections(pod):
        return Verdict(reason, f"Pod was rejected: {message}")
    return None


def _objections(pod: Json) -> Iterator[tuple[str, str]]:
    spec = pod["spec"]
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        yield "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    for name, means in (("hostNetwork", "the host's network"), ("hostPID", "the host's processes"), ("hostIPC", "the host's IPC")):
        if spec.get(name):
            yield f"{name[0].upper()}{name[1:]}NotSupported", f"{name}: true asks for {means}, which this node does not give; {_KIND}"
    if spec.get("shareProcessNamespace"):
        yield "ShareProcessNamespaceNotSupported", f"shareProcessNamespace: true is not built in this node; {_KIND}"
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
    for volume in spec.get("volumes") or []:
        if "hostPath" in volume:
            path = volume["hostPath"].get("path", "")
            message = f'volume "{volume["name"]}" is a hostPath ({path}): pods of this node never see the host\'s files; {_KIND}'
            yield "HostPathNotSupported", message


def _container_objections(container: Json) -> Iterator[tuple[str, str]]:
    which = f'container "{container["name"]}"'
    if (container.get("securityContext") or {}).get("privileged"):
        yield "PrivilegedNotSupported", f"{which} is privileged: it would need root on the host, which no pod of this node has; {_KIND}"
    if container.get("volumeDevices"):
        yield "BlockDevicesNotSupported", f"{which} asks for volumeDevices: this node has no block devices; {_KIND}"
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            message = f"{which} asks for hostPort {port['hostPort']}: use a Service of type NodePort, or kubectl port-forward; {_KIND}"
            yield "HostPortNotSupported", message
    for rule in container.get("restartPolicyRules") or []:
        if rule.get("action") != "Restart":
            yield "RestartRuleNotSupported", f"{which} has a restart rule with action {rule.get('action')}, which is not built in this node"
