"""A node's agent, which has the role of a kubelet in an embedded cluster.

Entering the agent changes only its own folder; `run` starts and waits for the API server as long as necessary. Each pod has its own task;
none of them can end the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from typing import TYPE_CHECKING, Self

from meshcourse.node import clock
from meshcourse.node.api import Api, client_tls
from meshcourse.node.back_off import back_off
from meshcourse.node.events import Events
from meshcourse.node.network import Network
from meshcourse.node.pod.offers import Node
from meshcourse.node.pod.worker import Pod
from meshcourse.node.port_mappings import PortMappings
from meshcourse.node.process import usage
from meshcourse.node.registration import NodeConfig, Registration
from meshcourse.node.streaming import authorization
from meshcourse.node.streaming.resource_metrics import ContainerUse, NodeUse
from meshcourse.node.streaming.runtime import LogSource
from meshcourse.node.streaming.server import Server, server_tls
from meshcourse.node.volume import node_files

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.machine import Machine
    from meshcourse.node.process.processes import Process

__all__ = ["Agent", "NodeConfig"]

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_AGAIN_LONGEST = 60.0


class Agent:
    """Runs the node. `ready` is set once the Node has been reported Ready."""

    def __init__(self, config: NodeConfig, machine: Machine) -> None:
        self._config = config
        self._machine = machine
        self._api = Api(config.server, client_tls(config.ca, config.client_cert, config.client_key))
        self._registration = Registration(self._api, config)
        self._network = Network(config.ip, config.pod_cidr)
        self._pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started_at = clock.now()

    @property
    def ready(self) -> asyncio.Event:
        """Set once the Node has been reported Ready."""
        return self._registration.ready

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.__aexit__(None, None, None)

    async def run(self) -> None:
        """Run the node until cancelled. All containers end with it."""
        config, machine = self._config, self._machine
        await asyncio.to_thread(self._make_folders)
        tls = server_tls(config.serving_cert, config.serving_key, config.api_server_cert)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._end_all)
            registering = asyncio.create_task(self._registration.run(), name="registration")
            stack.push_async_callback(_cancel, registering)
            allowed = authorization.reviewer(self._api, config.name)
            await stack.enter_async_context(Server(self, config.ip, config.kubelet_port, tls, allowed))
            events = await stack.enter_async_context(Events(self._api, "kubelet", config.name))
            node = Node(
                name=config.name,
                api=self._api,
                objects=machine.objects,
                events=events,
                network=self._network,
                ports=PortMappings("" if config.alone else config.ip),
                host=machine.host,
                ip=config.ip,
                root=config.root,
                files=config.root / "files",
                layers=machine.layers,
                cluster_dns=config.cluster_dns,
                cluster_domain=config.cluster_domain,
                pull_policy=machine.pull_policy,
                control_groups=config.control_groups,
                no_control_groups=config.no_control_groups,
            )
            watching = asyncio.create_task(self._watch(node), name="pods of the node")
            stack.push_async_callback(_cancel, watching)
            await asyncio.wait({registering, watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in (registering, watching):
                if task.done():
                    await task

    # Required by the kubelet API (streaming.runtime.Runtime).

    def log(self, namespace: str, pod: str, container: str, previous: bool) -> LogSource:  # noqa: FBT001 - the protocol's
        """The log's path. Raises LookupError."""
        found = self._find(namespace, pod)
        path, ended = found.container(container).log(found.root, previous=previous)
        return LogSource(path, ended)

    def enter(self, namespace: str, pod: str, container: str, command: list[str], tty: bool) -> list[str]:  # noqa: FBT001
        """The command line that runs `command` in a container. Raises LookupError."""
        running = self._find(namespace, pod).container(container).running().running
        if running is None:
            raise LookupError(f'container "{container}" in pod "{pod}" is not running')
        return running.enter(command, tty=tty)

    def attach(self, namespace: str, pod: str, container: str) -> Process:
        """The process to attach to. Raises LookupError."""
        running = self._find(namespace, pod).container(container).running().running
        if running is None:
            raise LookupError(f'container "{container}" in pod "{pod}" is not running')
        return running.process

    async def connect(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of the pod's loopback address. Raises LookupError or OSError."""
        netns = self._find(namespace, pod).netns
        if netns is None:
            raise LookupError(f'pod "{pod}" has no network')
        return await self._network.connect(netns, port)

    async def use(self) -> NodeUse:
        """What the node and its containers use of the machine now."""
        moment, used = time.time(), await asyncio.to_thread(usage.read)
        containers = tuple(
            ContainerUse(
                pod.manifest["metadata"]["namespace"],
                pod.manifest["metadata"]["name"],
                pod.uid,
                container.name,
                container.latest.started_at,
                used.get(container.latest.running.mounts, usage.Use()),
            )
            for pod in list(self._pods.values())
            for container in pod.containers
            if container.latest is not None and container.latest.running is not None and not container.latest.exited.is_set()
        )
        return NodeUse(self._config.name, moment, self._started_at, used[""], containers)

    def pods(self) -> list[Json]:
        """All pods on this node, as the API server sent them."""
        return [pod.manifest for pod in self._pods.values()]

    def _find(self, namespace: str, name: str) -> Pod:
        for pod in self._pods.values():
            metadata = pod.manifest["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                return pod
        raise LookupError(f'pod "{name}" not found')

    async def _watch(self, node: Node) -> None:
        """Follow the pods that the scheduler assigns to this node."""
        selector = f"spec.nodeName={self._config.name}"
        async with contextlib.aclosing(self._api.list_and_watch("/api/v1/pods", fieldSelector=selector)) as changes:
            async for kind, what in changes:
                if kind == "SYNC":
                    listed = {item["metadata"]["uid"] for item in what}
                    for uid in self._pods.keys() - listed:
                        self._pods[uid].removed()
                    for item in what:
                        self._take(item, node)
                elif kind == "DELETED":
                    if what["metadata"]["uid"] in self._pods:
                        self._pods[what["metadata"]["uid"]].removed()
                else:
                    self._take(what, node)

    def _take(self, manifest: Json, node: Node) -> None:
        try:
            self._take_one(manifest, node)
        except Exception:  # noqa: BLE001 - a pod that cannot be understood must not end the others
            _log.exception("pod %s is skipped", manifest["metadata"]["name"])

    def _take_one(self, manifest: Json, node: Node) -> None:
        uid = manifest["metadata"]["uid"]
        if uid in self._pods:
            self._pods[uid].update(manifest)
            return
        self._pods[uid] = Pod(manifest, node)
        self._tasks[uid] = asyncio.create_task(self._keep_running(uid, node), name=f"pod {manifest['metadata']['name']}")

    async def _keep_running(self, uid: str, node: Node) -> None:
        """Run one pod to its end; starts over when its task fails."""
        pauses = back_off(_AGAIN_SECONDS, _AGAIN_LONGEST)
        try:
            while True:
                pod, pause = self._pods[uid], next(pauses)
                try:
                    await pod.run()
                except Exception:  # noqa: BLE001 - one pod's failure must not end the node
                    _log.exception("pod %s failed; again in %.0f s", pod.manifest["metadata"]["name"], pause)
                else:
                    return
                await asyncio.sleep(pause)
                if self._pods[uid].gone:
                    return
                self._pods[uid] = Pod(self._pods[uid].manifest, node)
        finally:
            del self._pods[uid], self._tasks[uid]
            for other in self._pods.values():
                other.reconsider()

    async def _end_all(self) -> None:
        await _cancel(*self._tasks.values())

    def _make_folders(self) -> None:
        """Nothing of a pod is left when a node is restarted; the node's own files are."""
        shutil.rmtree(self._config.root / "pods", ignore_errors=True)
        if not (files := self._config.root / "files").exists():
            node_files.prepare(files, self._config.name, self._config.ip)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
