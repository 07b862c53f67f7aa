"""The Node object and its Lease: how the cluster knows that this node exists and is healthy.

`node_object` and `node_status` are pure.

Without heartbeats the node controller marks every pod not ready after some 40 s and Services lose their endpoints. With `declaredFeatures`
kube-apiserver passes exec, attach and port-forward to the kubelet API as websockets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshcourse.engine import binaries
from meshcourse.node import clock
from meshcourse.node.api import ApiError
from meshcourse.node.back_off import back_off
from meshcourse.node.spec import downward_api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api
    from meshcourse.node.process.control_groups import Group

_log = logging.getLogger(__name__)

LEASE_SECONDS = 40
_RENEW_SECONDS = 10.0
_STATUS_SECONDS = 300.0
_NOT_FOUND = 404
_CONFLICT = 409
_RETRY_SECONDS = 0.2
_RETRY_LONGEST = 5.0
_STRATEGIC = "application/strategic-merge-patch+json"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@dataclass(frozen=True)
class NodeConfig:
    """The node's properties and the API server's address. `root` is a folder of its own on a tmpfs, for pods and logs.

    `api_server_cert` is kube-apiserver's client certificate for the kubelet API. `labels` are added to those that every node has.
    `alone`: it is the only node, so all addresses of the cluster's network namespace are its own. Without `control_groups` no limit holds,
    and `no_control_groups` says why.
    """

    name: str
    ip: str
    pod_cidr: str
    cluster_dns: str
    root: Path
    kubelet_port: int
    server: str
    ca: Path
    api_server_cert: Path
    client_cert: Path
    client_key: Path
    serving_cert: Path
    serving_key: Path
    cluster_domain: str = "cluster.local"
    version: str = "v1.36.3"
    labels: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True
    control_groups: Group | None = None
    no_control_groups: str = ""


def node_object(config: NodeConfig) -> Json:
    """The Node to create."""
    labels = {"kubernetes.io/hostname": config.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": binaries.architecture()}
    labels |= config.labels
    labels |= {f"beta.kubernetes.io/{name}": labels[f"kubernetes.io/{name}"] for name in ("os", "arch")}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.name, "labels": labels},
        "spec": {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]},
    }


def node_status(config: NodeConfig, previous: Json, now: str) -> Json:
    """The Node's status. `previous` is the one that the API server holds, for its conditions' transition times."""
    since = {condition["type"]: condition for condition in previous.get("conditions") or []}
    conditions = [
        {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": since[kind]["lastTransitionTime"] if since.get(kind, {}).get("status") == value else now,
        }
        for kind, value, reason, message in (
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "the node does not watch memory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node does not watch its disk"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "the node does not watch process numbers"),
            ("LimitsEnforced", *_limits_enforced(config)),
            ("Ready", "True", "KubeletReady", "the meshcourse node is posting ready status"),
        )
    ]
    return {
        "capacity": downward_api.allocatable(),
        "allocatable": downward_api.allocatable(),
        "addresses": [{"type": "InternalIP", "address": config.ip}, {"type": "Hostname", "address": config.name}],
        "conditions": conditions,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.kubelet_port}},
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
        "nodeInfo": _node_info(config),
    }


def _limits_enforced(config: NodeConfig) -> tuple[str, str, str]:
    """Whether requests and limits of processor and memory hold: a condition of this node's own."""
    if config.control_groups is None:
        return "False", "NoControlGroups", f"limits of processor and memory are not enforced: {config.no_control_groups}"
    return "True", "ControlGroups", f"by control groups of version {config.control_groups.version}"


def is_ready(node: Json) -> bool:
    """Whether the Node is Ready according to the API server."""
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


class Registration:
    """Keeps the Node registered and Ready. `ready` is set once the API server has stored that."""

    def __init__(self, api: Api, config: NodeConfig) -> None:
        self.ready = asyncio.Event()
        self.node: Json = {}
        self._api = api
        self._config = config
        self._path = f"/api/v1/nodes/{config.name}"

    async def run(self) -> None:
        """Register, then renew until cancelled."""
        pauses = back_off(_RETRY_SECONDS, _RETRY_LONGEST)
        while True:
            try:
                await self._register()
                await self._report_status()
            except ApiError as error:
                _log.info("node not registered yet: %s", error)
                await asyncio.sleep(next(pauses))
            else:
                break
        self.ready.set()
        _log.info("node %s is registered and Ready", self._config.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_lease())
            group.create_task(self._renew_status())

    async def _register(self) -> None:
        """Create the Node, or adopt one of this name."""
        try:
            self.node = await self._api.post("/api/v1/nodes", node_object(self._config))
        except ApiError as error:
            if error.code != _CONFLICT:
                raise
            wanted = node_object(self._config)
            changes = {"metadata": {"labels": wanted["metadata"]["labels"]}}
            self.node = await self._api.patch(self._path, changes)

    async def _report_status(self) -> None:
        status = node_status(self._config, self.node.get("status") or {}, clock.now())
        self.node = await self._api.patch(f"{self._path}/status", {"status": status}, _STRATEGIC)

    async def _renew_status(self) -> None:
        """Report every few minutes, and soon after the node controller has set the node NotReady, for example after a laptop's sleep."""
        due = time.monotonic() + _STATUS_SECONDS
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                self.node = await self._api.get(self._path)
                if not is_ready(self.node) or time.monotonic() > due:
                    await self._report_status()
                    due = time.monotonic() + _STATUS_SECONDS
            except ApiError as error:
                if error.code == _NOT_FOUND:  # it was deleted: a kubelet registers again when it is restarted, this node at once
                    await self._again()
                _log.warning("the node's status was not written: %s", error)

    async def _again(self) -> None:
        try:
            await self._register()
            await self._report_status()
        except ApiError as error:
            _log.warning("the node was deleted and is not registered again: %s", error)

    async def _renew_lease(self) -> None:
        pauses = back_off(_RETRY_SECONDS, _RETRY_LONGEST)
        while True:
            try:
                await self._put_lease()
            except ApiError as error:
                _log.warning("the node's lease was not renewed: %s", error)
                await asyncio.sleep(next(pauses))
            else:
                pauses = back_off(_RETRY_SECONDS, _RETRY_LONGEST)
                await asyncio.sleep(_RENEW_SECONDS)

    async def _put_lease(self) -> None:
        spec = {"holderIdentity": self._config.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": clock.now_micro()}
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._config.name, "uid": self.node["metadata"]["uid"]}
        metadata = {"name": self._config.name, "namespace": "kube-node-lease", "ownerReferences": [owner]}
        lease: Json = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            await self._api.patch(f"{_LEASES}/{self._config.name}", lease)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            await self._api.post(_LEASES, lease)


def _node_info(config: NodeConfig) -> Json:
    return {
        "architecture": binaries.architecture(),
        "operatingSystem": "linux",
        "osImage": _os_image(),
        "kernelVersion": os.uname().release,
        "kubeletVersion": config.version,
        "kubeProxyVersion": "",
        "containerRuntimeVersion": "meshcourse://0",
        "machineID": _read("/etc/machine-id"),
        "systemUUID": "",
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
    }


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
