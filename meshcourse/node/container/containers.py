"""One container of a pod, across its runs: first start, restarts with back-off, end.

A run (runs.py) outlives the cancellation of `live`, so that a pod that is being deleted first cancels what would start more and then stops
what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from meshcourse.node import clock
from meshcourse.node.back_off import back_off
from meshcourse.node.container.runs import START_ERROR, Run, log_path
from meshcourse.node.not_yet import NotYet
from meshcourse.node.spec import resources, restart_policy
from meshcourse.node.status.recovered import recover
from meshcourse.node.status.statuses import ContainerRecord, Running, Waiting
from meshcourse.node.streaming.runtime import NotRunning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshcourse.core.json_types import Json
    from meshcourse.node.container.runs import Shared
    from meshcourse.node.images import Image
    from meshcourse.node.status.statuses import ContainerKind

_SHOWN_SECONDS = 1.0  # how long an ended run or a failed pull shows as such before it shows as backing off
_CONFIG_AGAIN_SECONDS = 1.0
_CONFIG_AGAIN_LONGEST = 10.0
_RESIZE_AGAIN_SECONDS = 5.0
_NOT_PRIVILEGED = (
    "container {} is privileged: here it gets no devices and no right over this machine, only those of an ordinary container and NET_ADMIN "
    "in its pod's network; a kind cluster gives more"
)


def specs_of(pod: Json) -> Iterator[tuple[ContainerKind, Json]]:
    """The pod's containers in their order, init containers first; an init container with restartPolicy Always is a sidecar.

    Ephemeral containers, which `kubectl debug` adds to a running pod, come last.
    """
    for spec in pod["spec"].get("initContainers") or []:
        yield "sidecar" if spec.get("restartPolicy") == "Always" else "init", spec
    for spec in pod["spec"]["containers"]:
        yield "main", spec
    for spec in pod["spec"].get("ephemeralContainers") or []:
        yield "ephemeral", spec


class Container:
    """One container. `tried`: its first start was attempted, postStart hook included. `has_started`: its startup probe has passed."""

    def __init__(self, pod: Json, spec: Json, kind: ContainerKind, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.kind = kind
        waiting = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
        fresh = ContainerRecord(name=spec["name"], kind=kind, image=spec["image"], state=Waiting(waiting))
        self.record = recover(fresh, pod, spec, clock.now())
        self.latest: Run | None = None
        self.tried = asyncio.Event()
        self.has_started = asyncio.Event()
        self._changed = changed
        self._pod = pod
        self._previous: Run | None = None
        self._stopping = asyncio.Event()
        self._respecified = asyncio.Event()
        self.resize_failure = ""

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    def take_spec(self, pod: Json, spec: Json) -> None:
        """Apply a changed pod. Only a container's image may change, for which its run is replaced, and its resources."""
        self._pod = pod
        other_image = spec["image"] != self.spec["image"]
        if other_image or spec.get("resources") != self.spec.get("resources"):
            self.spec = spec
            if other_image or self.is_resizing:
                self._respecified.set()

    @property
    def is_resizing(self) -> bool:
        """Whether other resources hold for its run than it should have."""
        run = self.latest
        runs = run is not None and run.running is not None and not run.exited.is_set()
        return run is not None and runs and run.spec.get("resources") != self.spec.get("resources")

    def reported(self) -> ContainerRecord:
        """Its record with its resources: those that the node has accepted and those that hold, where any do."""
        if self.latest is None or not self.latest.is_limited:
            return self.record
        accepted = (self.spec.get("resources") or {}).get("requests")
        return replace(self.record, allocated=accepted, resources=self.latest.spec.get("resources") or {})

    def forbid(self, reason: str, message: str) -> None:
        """Show why the container will not be started."""
        self._record(state=Waiting(reason, message))

    async def live(self, shared: Shared) -> None:
        """Start the container, and restart it by its restart policy, until it has ended for good or `stop` is called."""
        if self.record.finished:  # before the node was restarted
            self.tried.set()
            return
        if (self.spec.get("securityContext") or {}).get("privileged"):
            shared.tell(self.spec, "Warning", "PrivilegedNotGiven", _NOT_PRIVILEGED.format(self.name))
        backoff = restart_policy.Backoff()
        number = self.record.restarts
        while not self._stopping.is_set():
            run = await self._start(shared, number)
            if run is None:
                return
            await self._until_ended(run)
            code = run.terminated.exit_code if run.terminated is not None else 0
            again = run.restart or restart_policy.wanted(self._pod, self.spec, init=self.kind != "main", exit_code=code)
            if self._stopping.is_set() or not again or self.kind == "ephemeral":
                self._record(finished=True)
                return
            await self._back_off(shared, backoff)
            backoff = backoff.attempted(time.monotonic())
            number += 1

    async def stop(self, grace: float) -> None:
        """End it for good: the present run gets `grace` seconds."""
        self._stopping.set()
        if self.latest is not None:
            await self.latest.stop(grace, f"Stopping container {self.name}")
        self._record(finished=True)

    def kill(self) -> None:
        """End the present run at once, for good."""
        self._stopping.set()
        if self.latest is not None:
            self.latest.kill()

    async def close(self) -> None:
        """Release everything; the logs stay."""
        self.kill()
        if self.latest is not None:
            await self.latest.close()

    def log(self, root: Path, *, previous: bool) -> tuple[Path, Callable[[], bool]]:
        """The log of the present, last or previous run, and a function that returns whether that run has ended.

        Raises LookupError, with kubelet's message, when there is none.
        """
        where = f'container "{self.name}" in pod "{self._pod["metadata"]["name"]}"'
        run = self.latest
        if previous:
            last = self.record.last
            if run is None or last is None:
                raise NotRunning(f"previous terminated {where} not found")
            # While the next run is awaited, `kubectl logs` already shows the last one.
            earlier = run if run.terminated is last else self._previous
            if earlier is None:  # it ran before the node was restarted, and its log has gone
                raise NotRunning(f"previous terminated {where} not found")
            return log_path(root, self.name, earlier.number), lambda: True
        if run is None or run.running is None:
            state = self.record.state
            why = state.reason if isinstance(state, Waiting) else "ContainerCreating"
            raise NotRunning(f"{where} is waiting to start: " + ("trying and failing to pull image" if "Image" in why else why))
        return log_path(root, self.name, run.number), run.exited.is_set

    def running(self) -> Run:
        """The present run. Raises LookupError when there is none."""
        if self.latest is None or self.latest.running is None or self.latest.exited.is_set():
            raise NotRunning(f'container "{self.name}" of pod "{self._pod["metadata"]["name"]}" is not running')
        return self.latest

    async def _start(self, shared: Shared, number: int) -> Run | None:
        """Start one run, with retries until it succeeds. None when `stop` was called first."""
        pauses = back_off(_CONFIG_AGAIN_SECONDS, _CONFIG_AGAIN_LONGEST)
        while not self._stopping.is_set():
            image = await self._find_image(shared)
            if image is None:
                return None
            run = Run(shared, self.spec, image, number, self._observe)
            try:
                await run.start()
            except NotYet as failure:
                self._wait(failure.reason, failure.message)
                shared.tell(self.spec, "Warning", "Failed", f"Error: {failure.message}")
            except BaseException:
                self.tried.set()
                raise
            else:
                shared.tell(self.spec, "Normal", "Created", f"Created container: {self.name}")
                if run.terminated is not None and run.terminated.reason == START_ERROR:
                    shared.tell(self.spec, "Warning", "Failed", f"Error: {run.terminated.message}")
                else:
                    shared.tell(self.spec, "Normal", "Started", f"Started container {self.name}")
                try:
                    await run.post_start()
                finally:
                    self.tried.set()
                return run
            self.tried.set()
            await self._pause(next(pauses))
        return None

    async def _find_image(self, shared: Shared) -> Image | None:
        """Find the image, with back-off, as a kubelet pulls it. None when `stop` was called first."""
        backoff = restart_policy.Backoff()
        while not self._stopping.is_set():
            reference = self.spec["image"]
            policy = self.spec.get("imagePullPolicy", "IfNotPresent")
            try:
                image = await shared.pull_policy.get(
                    reference, policy, partial(shared.tell, self.spec), partial(self._wait, "ContainerCreating")
                )
            except NotYet as error:
                reason, why = error.reason, error.message
            else:
                if self.spec["image"] == reference:
                    return image
                continue
            self._wait(reason, why)
            self.tried.set()
            never = reason == "ErrImageNeverPull"
            shared.tell(self.spec, "Warning", reason if never else "Failed", why if never else f'Failed to pull image "{reference}": {why}')
            shared.tell(self.spec, "Warning", "Failed", f"Error: {reason}")
            backoff = backoff.attempted(time.monotonic())
            await self._pause(_SHOWN_SECONDS)
            if self._stopping.is_set() or self.spec["image"] != reference:
                continue
            if not never:
                self._wait("ImagePullBackOff", f'Back-off pulling image "{reference}": {reason}: {why}')
                shared.tell(self.spec, "Normal", "BackOff", f'Back-off pulling image "{reference}"')
                shared.tell(self.spec, "Warning", "Failed", "Error: ImagePullBackOff")
            await self._pause(backoff.delay)
        return None

    async def _until_ended(self, run: Run) -> None:
        """Wait for the end of a run, which ends when the container has got another image; other resources are given to it."""
        while not run.exited.is_set():
            self._respecified.clear()
            if run.spec["image"] != self.spec["image"]:
                run.restart = True
                await run.stop(self._grace(), f"Container {self.name} definition changed, will be restarted")
            elif self.is_resizing:
                await self._resize(run)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RESIZE_AGAIN_SECONDS if self.resize_failure else None):
                    await _first(run.exited, self._respecified)

    async def _resize(self, run: Run) -> None:
        """Let the resources that the node has accepted hold for a run, or replace the run where its resizePolicy says so."""
        before, after = ((each.get("resources") or {}) for each in (run.spec, self.spec))
        changed = {
            kind for which in ("requests", "limits") for kind in resources.KINDS if _get(before, which, kind) != _get(after, which, kind)
        }
        policies = self.spec.get("resizePolicy") or []
        if any(each["resourceName"] in changed and each["restartPolicy"] == "RestartContainer" for each in policies):
            run.restart = True
            await run.stop(self._grace(), f"Container {self.name} resize requires restart")
            return
        failure, self.resize_failure = self.resize_failure, run.resize(self.spec)
        if failure != self.resize_failure:
            self._changed()

    def _grace(self) -> float:
        return float(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

    async def _back_off(self, shared: Shared, backoff: restart_policy.Backoff) -> None:
        ended = time.monotonic()
        due = backoff.due(ended)
        if due <= ended:
            return
        await self._pause(min(_SHOWN_SECONDS, due - ended))
        metadata = self._pod["metadata"]
        whole = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        text = restart_policy.duration(backoff.delay)
        self._wait("CrashLoopBackOff", f"back-off {text} restarting failed container={self.name} pod={whole}")
        shared.tell(self.spec, "Warning", "BackOff", f"Back-off restarting failed container {self.name} in pod {whole}")
        await self._pause(due - time.monotonic())

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless the container is stopped or respecified."""
        self._respecified.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await _first(self._stopping, self._respecified)

    def _wait(self, reason: str, message: str) -> None:
        if not self._stopping.is_set():
            ended = self.latest.terminated if self.latest is not None else None
            self._record(state=Waiting(reason, message), last=ended or self.record.last, started=False, ready=False)

    def _observe(self, run: Run) -> None:
        """Record a run's state: running, started, ready, or ended."""
        if run is not self.latest:
            self._previous, self.latest = self.latest, run
        self._record(  # in one step: a program that was never executed must not appear as running first
            image=run.spec["image"],
            image_id=run.image.identity,
            container_id=run.id,
            identity=run.identity,
            state=run.terminated or Running(run.started_at),
            last=self.record.last if self._previous is None else self._previous.terminated,
            restarts=run.number,
            started=run.terminated is None and run.started,
            ready=run.terminated is None and run.ready,
            **({} if run.terminated else {"finished": False}),
        )
        if run.terminated is not None:
            return
        if run.started:
            self.has_started.set()

    def _record(self, **changes: object) -> None:
        record = replace(self.record, **changes)  # type: ignore[arg-type]  # the callers above name fields of ContainerRecord
        if record != self.record:
            self.record = record
            self._changed()


def _get(of: Json, which: str, kind: str) -> object:
    return (of.get(which) or {}).get(kind)


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
