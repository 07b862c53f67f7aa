"""One pod on this node, from its assignment to its deletion.

Order, as in kubelet: refuse what cannot be run; network and volumes; init containers one after another (the next follows a sidecar once it
has started); then the main containers, each after the postStart hook of the one before. At the end main containers first, then sidecars in
reverse order. An unexpected failure ends the containers, is logged and recorded, and the pod starts over after a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from typing import TYPE_CHECKING

from meshcourse.node import clock, events, port_mappings
from meshcourse.node.api import ApiError
from meshcourse.node.back_off import back_off
from meshcourse.node.container.containers import Container, specs_of
from meshcourse.node.container.runs import Shared
from meshcourse.node.not_yet import NotYet
from meshcourse.node.pod import admission
from meshcourse.node.pod.pod_sandbox import PodSandbox
from meshcourse.node.pod.resizing import Resizing
from meshcourse.node.spec import restart_policy
from meshcourse.node.status import statuses
from meshcourse.node.status.patches import Report
from meshcourse.node.status.statuses import PodRecord, Verdict
from meshcourse.node.volume import volumes
from meshcourse.node.volume.image_volumes import ImageVolumes
from meshcourse.node.volume.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcourse.core.json_types import Json
    from meshcourse.node.container import sandbox
    from meshcourse.node.events import EventKind
    from meshcourse.node.network import PodNetns
    from meshcourse.node.pod.offers import Node
    from meshcourse.node.status.statuses import ContainerKind

_log = logging.getLogger(__name__)

_BEGIN_AGAIN_SECONDS = 1.0
_BEGIN_AGAIN_LONGEST = 60.0
_DELETE_AGAIN_SECONDS = 1.0
_GONE = (404, 409, 410)
_REPLACED_BY = ("ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet")


class Pod:
    """One pod. `manifest` is its newest form as the API server sent it; `gone`: the Pod object no longer exists."""

    def __init__(self, manifest: Json, node: Node) -> None:
        self.manifest = self._newest = manifest
        self.uid: str = manifest["metadata"]["uid"]
        self.root = node.root / "pods" / self.uid
        self._node = node
        self._sandbox = PodSandbox(node, self.uid, self.root, self._running)
        self._report = Report(node.api, manifest, self.record)
        self.containers = [Container(manifest, spec, kind, self._changed) for kind, spec in specs_of(manifest)]
        image_volumes = ImageVolumes(node.pull_policy, node.layers, self._tell)
        self._volumes = volumes.Volumes(node.api, node.objects, self.root, node.files, image_volumes, self._warn)
        self._volume_keeper = Keeper(self._volumes, node.objects, self._warn)
        self._began = (manifest.get("status") or {}).get("startTime") or clock.now()
        self._pod_ip = ""
        self._ready_to_start = self._initialized = self.gone = False
        self._ended = all(container.record.finished for container in self._of("main"))  # before the node was restarted
        self._verdict: Verdict | None = None
        self._ending = asyncio.Event()
        self._granted = float("inf")  # the shortest grace period that a deletion has set
        self._kill_at: asyncio.TimerHandle | None = None
        self._updated = asyncio.Event()
        self._deadline_from = float("inf")
        self._start_ephemeral: Callable[[Container], object] | None = None  # while the pod lives
        self._resizing = Resizing(node, manifest, self._tell)
        self.update(manifest)

    @property
    def netns(self) -> PodNetns | None:
        """Its network namespace, while it has one."""
        return self._sandbox.netns

    def record(self) -> PodRecord:
        """The pod's record now."""
        spec = self.manifest["spec"]
        return PodRecord(
            host_ip=self._node.ip,
            started_at=self._began,
            containers=tuple(container.reported() for container in self.containers),
            pod_ip=self._pod_ip,
            networked=self._ready_to_start and self.netns is not None,
            initialized=self._initialized,
            ended=self._ended,
            verdict=self._verdict,
            readiness_gates=tuple(gate["conditionType"] for gate in spec.get("readinessGates") or []),
            generation=self._newest["metadata"].get("generation", 0),
            resizes=self._resizing.conditions(self.containers),
        )

    def reconsider(self) -> None:
        """Another pod has gone: a resize that waited may now find the room."""
        if self._newest is not self.manifest and not self._ending.is_set():
            self.update(self._newest)

    def update(self, manifest: Json) -> None:
        """Apply a newer form of the pod: labels, an image, resources, readiness gates, a deletion."""
        older, self._newest = self._newest, manifest
        self.manifest = manifest = self._resizing.accept(manifest)
        if self._resizing.is_under_way:
            self._sandbox.limit(manifest, as_a_whole=False)
        specs = {spec["name"]: spec for _, spec in specs_of(manifest)}
        for container in self.containers:
            container.take_spec(manifest, specs.get(container.name, container.spec))
        self._volumes.pod_changed(manifest)
        self._report.observe(manifest)
        if (
            older["metadata"].get("generation") != manifest["metadata"].get("generation")
            or self._newest is not manifest
            or self._resizing.is_under_way
        ):
            self._changed()
        self._updated.set()
        for added in list(specs_of(manifest))[len(self.containers) :]:  # only ephemeral containers are ever added to a pod
            self.containers.append(Container(manifest, added[1], added[0], self._changed))
            if self._start_ephemeral is not None:
                self._start_ephemeral(self.containers[-1])
        if manifest["metadata"].get("deletionTimestamp"):
            if self._ending.is_set() and self._grace() < self._granted:
                # A second deletion may shorten the time that is left.
                self._kill_at = asyncio.get_running_loop().call_later(self._grace(), self._kill)
            self._granted = min(self._granted, self._grace())
            self._ending.set()

    def removed(self) -> None:
        """The Pod object was deleted: kill its containers without grace."""
        self.gone = True
        self._ending.set()
        self._kill()

    def container(self, name: str) -> Container:
        """A container; without a name, the first one. Raises LookupError when the pod has none of this name."""
        for container in self.containers:
            if container.name == name or (not name and container.kind == "main"):
                return container
        raise LookupError(f'container "{name}" not found in pod "{self.manifest["metadata"]["name"]}"')

    async def run(self) -> None:
        """Run the pod to its end and delete the Pod object on request."""
        try:
            async with self._report:
                if (self.manifest.get("status") or {}).get("phase") not in statuses.TERMINAL:
                    self._report.changed()
                    await self._retry_until_begun()
                    await self._release()
                    if not self.gone:
                        await self._report.flush()
                await self._ending.wait()
                await self._delete()
        finally:
            await self._release()
            await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)

    async def _retry_until_begun(self) -> None:
        """Run the containers until all have ended for good, deletion is requested, or the pod's deadline has passed."""
        pauses = back_off(_BEGIN_AGAIN_SECONDS, _BEGIN_AGAIN_LONGEST)
        self._deadline_from = time.monotonic()
        while True:
            life = asyncio.create_task(self._life(), name=f"pod {self._name}")
            try:
                await self._until_over(life)
            finally:
                finished = life.done() and not life.cancelled()
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
            error = life.exception() if finished else None
            if error is None:
                break
            _log.error("pod %s", self._name, exc_info=error)
            pause = next(pauses)
            self._tell("Warning", "FailedSync", f"error running pod, starting over in {pause:.0f} s: {_text(error)}")
            await self._clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
        if not finished and not self._ending.is_set():
            message = "Pod was active on the node longer than the specified deadline"
            self._tell("Normal", "DeadlineExceeded", message)
            await self._stop_all(self._grace())
            self._verdict = Verdict("DeadlineExceeded", message)
        elif not finished:
            await self._stop_all(self._grace())
        self._ended = True
        self._changed()

    async def _until_over(self, life: asyncio.Task[None]) -> None:
        """Wait for the end of the containers, the wish to delete the pod, or its deadline, which may be changed meanwhile."""
        ending = asyncio.create_task(self._ending.wait())
        try:
            while not life.done() and not ending.done():
                self._updated.clear()
                seconds = self.manifest["spec"].get("activeDeadlineSeconds")
                left = None if seconds is None else self._deadline_from + seconds - time.monotonic()
                if left is not None and left <= 0:
                    return
                updated = asyncio.create_task(self._updated.wait())
                try:
                    await asyncio.wait({life, ending, updated}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    updated.cancel()
        finally:
            ending.cancel()

    async def _life(self) -> None:
        """Do everything from admission to the last container's end."""
        if self._ended:
            return
        verdict = admission.verdict(self.manifest)
        if verdict is None and not self._node.ports.take(self.uid, port_mappings.wanted(self.manifest)):
            verdict = admission.PORT_TAKEN
        if verdict is not None:
            await self._refuse(verdict)
            return
        netns = await self._sandbox.make(self.manifest, lambda why: self._tell("Warning", "FailedCreatePodSandBox", why))
        try:
            await self._volume_keeper.prepare(self.manifest)
        except NotYet as refused:
            await self._refuse(Verdict(refused.reason, f"Pod was rejected: {refused.message}"))
            return
        shared = self._shared(netns)
        self._pod_ip, self._ready_to_start = netns.ip, True
        self._changed()
        async with asyncio.TaskGroup() as group:
            self._start_ephemeral = lambda added: group.create_task(self._live_ephemeral(added, shared), name=f"{self._name}/{added.name}")
            try:
                for ephemeral in self._of("ephemeral"):
                    self._start_ephemeral(ephemeral)
                if await self._initialize(group, shared):
                    self._initialized = True
                    self._changed()
                    await self._run_main(group, shared)
            finally:
                self._start_ephemeral = None
            await asyncio.gather(*(ephemeral.stop(self._grace()) for ephemeral in self._of("ephemeral")))
            for sidecar in reversed(self._of("sidecar")):
                await sidecar.stop(self._grace())

    async def _live_ephemeral(self, ephemeral: Container, shared: Shared) -> None:
        if objection := admission.objection(ephemeral.spec):
            ephemeral.forbid(*objection)
            self._tell("Warning", *objection)
            return
        try:
            await self._volume_keeper.prepare(self.manifest)
        except NotYet as refused:
            ephemeral.forbid(refused.reason, refused.message)
        else:
            await ephemeral.live(shared)

    def _running(self, name: str) -> sandbox.Running | None:
        found = next((each.latest for each in self.containers if each.name == name), None)
        return None if found is None or found.exited.is_set() else found.running

    async def _refuse(self, verdict: Verdict) -> None:
        """Fail the pod. An owner that replaces failed pods at once is answered later each time, or it would create thousands."""
        self._tell("Warning", verdict.reason, verdict.message)
        owner = next((o for o in self.manifest["metadata"].get("ownerReferences") or [] if o.get("controller")), None)
        for container in self.containers:
            container.forbid(verdict.reason, verdict.message)
        if owner is not None and owner["kind"] in _REPLACED_BY:
            backoff = self._node.refusals.get(owner["uid"], restart_policy.Backoff()).attempted(time.monotonic())
            self._node.refusals[owner["uid"]] = backoff
            await asyncio.sleep(backoff.delay)
        self._verdict = verdict

    def _shared(self, netns: PodNetns) -> Shared:
        node = self._node
        return Shared(
            pod=lambda: self.manifest,
            objects=node.objects,
            volumes=self._volumes,
            netns=netns,
            pid_namespace=self._sandbox.pid_namespace,
            host_ip=node.ip,
            hostname=self._sandbox.hostname(self.manifest),
            root=self.root,
            layers=node.layers,
            host=node.host,
            pull_policy=node.pull_policy,
            group=self._sandbox.group,
            tell=self._tell_of_container,
        )

    def _changed(self) -> None:
        """Something to report has changed; called at every change of a container."""
        if self._resizing.settled(self.containers):
            self._sandbox.limit(self.manifest)
        self._report.changed()

    async def _initialize(self, group: asyncio.TaskGroup, shared: Shared) -> bool:
        """Run the init containers. False when one has failed for good."""
        for container in self.containers:
            if container.kind == "init":
                await container.live(shared)
                if not statuses.complete(container.record):
                    return False
            elif container.kind == "sidecar":
                group.create_task(container.live(shared), name=f"{self._name}/{container.name}")
                await container.has_started.wait()
                await container.tried.wait()
        return True

    async def _run_main(self, group: asyncio.TaskGroup, shared: Shared) -> None:
        lives = []
        for container in self._of("main"):
            lives.append(group.create_task(container.live(shared), name=f"{self._name}/{container.name}"))
            if (container.spec.get("lifecycle") or {}).get("postStart"):
                await container.tried.wait()
        await asyncio.gather(*lives)

    async def _stop_all(self, grace: float) -> None:
        """Stop main and init containers together, then sidecars one by one, within `grace` seconds in all."""
        deadline = time.monotonic() + grace
        if self.gone:
            self._kill()
        await asyncio.gather(*(container.stop(0 if self.gone else grace) for container in self.containers if container.kind != "sidecar"))
        for sidecar in reversed(self._of("sidecar")):
            await sidecar.stop(0 if self.gone else max(deadline - time.monotonic(), 2.0 if grace else 0.0))

    def _kill(self) -> None:
        for container in self.containers:
            container.kill()

    async def _clear(self) -> None:
        """Reset the record of its runs, so that the pod can start over."""
        for container in self.containers:
            await container.close()
        self.containers = [Container(self.manifest, spec, kind, self._changed) for kind, spec in specs_of(self.manifest)]
        self._ready_to_start = self._initialized = False
        self._changed()

    async def _release(self) -> None:
        """Release the pod's resources on the node; its logs stay until it is deleted."""
        if self._kill_at is not None:
            self._kill_at.cancel()
        for container in self.containers:
            await container.close()
        had_network = self.netns is not None
        await self._sandbox.remove()
        if had_network:
            self._changed()
        await self._volume_keeper.close()
        self._resizing.end()

    async def _delete(self) -> None:
        """Delete the Pod object: nothing of it remains on the node."""
        metadata = self.manifest["metadata"]
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        while not self.gone:
            try:
                await self._node.api.delete(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", options)
            except ApiError as error:
                if error.code in _GONE:
                    return
                _log.info("pod %s is not deleted yet: %s", self._name, error.what)
                await asyncio.sleep(_DELETE_AGAIN_SECONDS)
            else:
                return

    def _of(self, kind: ContainerKind) -> list[Container]:
        return [container for container in self.containers if container.kind == kind]

    def _grace(self) -> float:
        seconds = self.manifest["metadata"].get("deletionGracePeriodSeconds")
        return float(self.manifest["spec"].get("terminationGracePeriodSeconds", 30) if seconds is None else seconds)

    @property
    def _name(self) -> str:
        return f"{self.manifest['metadata']['namespace']}/{self.manifest['metadata']['name']}"

    def _tell(self, kind: EventKind, reason: str, message: str) -> None:
        self._node.events.record(self.manifest, kind, reason, message)

    def _warn(self, reason: str, message: str) -> None:
        self._tell("Warning", reason, message)

    def _tell_of_container(self, spec: Json, kind: EventKind, reason: str, message: str) -> None:
        kinds = ("initContainers", "containers", "ephemeralContainers")
        field = next(kind for kind in kinds if any(other["name"] == spec["name"] for other in self.manifest["spec"].get(kind) or []))
        path = f"spec.{field}{{{spec['name']}}}"
        self._node.events.record(events.reference(self.manifest, path), kind, reason, message)


def _text(error: BaseException) -> str:
    """The innermost error of a group in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
