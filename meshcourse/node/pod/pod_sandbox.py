"""A pod's sandbox: namespaces, control group, files of /etc, host ports: made before the first container, removed after the last.

A container has a PID namespace of its own, unless the pod shares one (then a container that does nothing holds it, as in a kubelet's pod)
or it is an ephemeral container with a target.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from meshcourse.node import images
from meshcourse.node.container import sandbox
from meshcourse.node.container.spec import Spec
from meshcourse.node.not_yet import NotYet
from meshcourse.node.process.control_groups import TooLittleMemory
from meshcourse.node.spec import dns, resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcourse.core.json_types import Json
    from meshcourse.node.network import PodNetns
    from meshcourse.node.pod.offers import Node
    from meshcourse.node.process.control_groups import Group

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 2.0
_PAUSE = "registry.k8s.io/pause"


class PodSandbox:
    """One pod's. `running` gives the container of that name that runs, for an ephemeral one that looks at its processes, or None."""

    def __init__(self, node: Node, uid: str, root: Path, running: Callable[[str], sandbox.Running | None]) -> None:
        self.netns: PodNetns | None = None
        self._node = node
        self._uid = uid
        self._root = root
        self._running = running
        self._pause: sandbox.Running | None = None
        self.group: Group | None = None

    async def make(self, pod: Json, failed: Callable[[str], None]) -> PodNetns:
        """Make it, with retries until it succeeds; `failed` is called with each failure."""
        while True:
            try:
                return await self._make(pod)
            except OSError as error:
                failed(f"Failed to create pod sandbox: {error}")
                _log.warning("pod %s: no sandbox: %s", pod["metadata"]["name"], error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def remove(self) -> None:
        """Release everything."""
        if self._pause is not None:
            self._pause.kill()
            self._pause.process.close()
            self._pause = None
        self.netns = None
        if self.group is not None:
            await asyncio.to_thread(self.group.remove)
            self.group = None
        try:
            await self._node.ports.give_back(self._uid)
            await self._node.network.remove(self._uid)
        except Exception:  # noqa: BLE001 - the kernel takes the namespaces back when their last process has ended
            _log.exception("pod %s: its network is not removed", self._uid)

    def limit(self, pod: Json, *, as_a_whole: bool = True) -> None:
        """Limit the pod; not as a whole while its containers are resized, so that their order does not matter."""
        if self.group is None:
            return
        limits = resources.of_pod(pod)
        try:
            self.group.limit_processor(limits if as_a_whole else resources.Limits(limits.shares))
            self.group.limit_memory(limits if as_a_whole else resources.Limits())
        except (OSError, TooLittleMemory) as error:
            _log.warning("pod %s: as a whole it is not limited: %s", pod["metadata"]["name"], error)

    def hostname(self, pod: Json) -> str:
        """What `hostname` prints in the pod."""
        return self._node.name if pod["spec"].get("hostNetwork") else dns.hostname(pod, self._node.cluster_domain)

    def pid_namespace(self, container: Json) -> Path | None:
        """The PID namespace that a container joins, or None for one of its own.

        Raises:
            NotYet: the target of an ephemeral container does not run.
        """
        if target := container.get("targetContainerName"):
            running = self._running(target)
            if running is None:
                raise NotYet("CreateContainerError", f'target container "{target}" is not running')
            return _pid_namespace(running)
        return None if self._pause is None else _pid_namespace(self._pause)

    async def _make(self, pod: Json) -> PodNetns:
        spec = pod["spec"]
        of_node = bool(spec.get("hostNetwork"))
        self.netns = netns = await self._node.network.add(self._uid, self.hostname(pod), of_node=of_node)
        if sysctls := (spec.get("securityContext") or {}).get("sysctls"):
            await self._node.network.configure(netns, {each["name"]: each["value"] for each in sysctls})
        self._write_files(pod, netns.ip)
        if self._node.control_groups is not None and resources.asks(pod):  # entering one costs ten milliseconds
            self.group = await asyncio.to_thread(self._node.control_groups.child, self._uid)
            self.limit(pod)
        if not of_node:
            await self._node.ports.open(self._uid, netns.ip)
        if spec.get("shareProcessNamespace") and self._pause is None:
            self._pause = await sandbox.start(self._pause_spec(netns), self._node.host)
        return netns

    def _write_files(self, pod: Json, ip: str) -> None:
        theirs = Path("/etc/resolv.conf")
        node_conf = theirs.read_text(encoding="utf-8") if theirs.exists() else ""
        etc, shm = self._root / "etc", self._root / "shm"
        for folder in (etc, shm):
            folder.mkdir(parents=True, exist_ok=True)
        shm.chmod(0o1777)
        texts = dns.files(pod, ip, self._node.cluster_dns, self._node.cluster_domain, node_conf)
        if pod["spec"].get("hostNetwork"):
            with contextlib.suppress(OSError):  # a pod with a hostPath may have taken it away
                texts["hosts"] = dns.HOST_NETWORK + (self._node.files / "etc" / "hosts").read_text(encoding="utf-8")
            texts["hostname"] = self._node.name + "\n"
        for name, text in texts.items():
            (etc / name).write_text(text, encoding="utf-8")
            (etc / name).chmod(0o644)

    def _pause_spec(self, netns: PodNetns) -> Spec:
        image = images.find(_PAUSE)
        return Spec(
            key=f"{self._uid}/pause",
            netns=netns.path,
            image=image,
            argv=image.entrypoint,
            environment={},
            etc=self._root / "etc",
            scratch=self._root / "containers" / ".pause",
            layers=self._node.layers,
            ipc=netns.ipc,
            uts=netns.uts,
        )


def _pid_namespace(running: sandbox.Running) -> Path:
    return Path(f"/proc/{running.reaper}/ns/pid")
