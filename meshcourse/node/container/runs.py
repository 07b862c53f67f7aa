"""One run of one container: from its start to its exit.

The exit is watched by the run's own task, so that it is recorded whatever stopped the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshcourse.core.errors import MeshcourseError
from meshcourse.node import clock
from meshcourse.node.container import endings, hooks, plan, sandbox
from meshcourse.node.images.passwd import Accounts
from meshcourse.node.not_yet import NotYet
from meshcourse.node.probe.probes import Prober
from meshcourse.node.process import logs
from meshcourse.node.process.control_groups import TooLittleMemory
from meshcourse.node.process.processes import Process
from meshcourse.node.spec import resources, restart_policy
from meshcourse.node.spec.security_context import LinuxUser
from meshcourse.node.status.statuses import Terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from meshcourse.core.json_types import Json
    from meshcourse.node.container.spec import Host, Spec
    from meshcourse.node.events import EventKind
    from meshcourse.node.images import Image
    from meshcourse.node.network import PodNetns
    from meshcourse.node.object_cache import Objects
    from meshcourse.node.process.control_groups import Group
    from meshcourse.node.pulling.pull_policy import PullPolicy
    from meshcourse.node.volume.volumes import Volumes

_log = logging.getLogger(__name__)

_SCHEME = "meshcourse://"
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_MINIMUM_GRACE = 2.0  # seconds that remain for a container when a preStop hook used up the rest, as in kubelet
_MESSAGE_BYTES = 4096
_EXEC_OUTPUT_BYTES = 10 * 1024
_LAST_OUTPUT_SECONDS = 2.0
START_ERROR = "StartError"
"""The reason of a run whose program was never executed."""
_ABSENT = "No such file or directory"
NOT_FOUND = 127
"""The exit code of a shell, and of setpriv, when a program is not found."""


@dataclass(frozen=True)
class Shared:
    """What the containers of one pod share. `root` is the pod's folder; `tell` records an event about one of its containers.

    `pid_namespace` gives the one that a container joins, None for one of its own; it raises NotYet. `group` is the pod's control group.
    """

    pod: Callable[[], Json]
    objects: Objects
    volumes: Volumes
    netns: PodNetns
    pid_namespace: Callable[[Json], Path | None]
    host_ip: str
    hostname: str
    root: Path
    layers: Path
    host: Host
    pull_policy: PullPolicy
    group: Group | None
    tell: Callable[[Json, EventKind, str, str], None]


def log_path(root: Path, container: str, number: int) -> Path:
    """The path of the log of a container's run `number` in its pod's folder."""
    return root / "logs" / container / f"{number}.log"


class Run:
    """One run. `terminated` is None until it has ended; `restart`: the node ended it so that another run follows."""

    def __init__(self, shared: Shared, spec: Json, image: Image, number: int, changed: Callable[[Run], None]) -> None:
        self.id = _SCHEME + secrets.token_hex(32)
        self.spec = spec
        self.image = image
        self.number = number
        self.identity = LinuxUser(0, 0)
        self.running: sandbox.Running | None = None
        self.started_at = ""
        self.terminated: Terminated | None = None
        self.exited = asyncio.Event()
        self.restart = False
        self._shared = shared
        self._on_change = changed
        self._scratch = shared.root / "containers" / spec["name"] / str(number)
        self._prober: Prober | None = None
        self._stopping = False
        self._group: Group | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def log(self) -> Path:
        """The path of this run's log."""
        return log_path(self._shared.root, self.spec["name"], self.number)

    @property
    def started(self) -> bool:
        """Whether the startup probe has passed (at once, when there is none)."""
        return self.running is not None and (self._prober is None or self._prober.started)

    @property
    def ready(self) -> bool:
        """Whether the readiness probe allows traffic."""
        return self.started and (self._prober is None or self._prober.ready)

    async def start(self) -> None:
        """Start the container's process, its log and its probes. Raises NotYet, with nothing running."""
        try:
            await asyncio.to_thread(self._make_group)
        except (OSError, TooLittleMemory) as error:
            raise NotYet("CreateContainerError", f"its control group cannot be made: {error}") from error
        planned = self._plan()
        self.identity = LinuxUser(planned.uid, planned.gid, planned.groups)
        await asyncio.to_thread(self._make_folders)
        starting = asyncio.ensure_future(sandbox.start(planned, self._shared.host))
        try:
            self.running = await asyncio.shield(starting)
        except asyncio.CancelledError:  # never leave an unrecorded process behind
            await asyncio.wait([starting])
            if starting.exception() is None:
                starting.result().kill()
                starting.result().process.close()
            raise
        except MeshcourseError as error:
            raise NotYet("RunContainerError", " ".join(str(error).split())) from error
        except (OSError, ValueError) as error:
            raise NotYet("CreateContainerError", str(error)) from error
        self._limit_processor(self.spec)
        self.started_at = clock.now()
        self.running.process.stdin_once = bool(self.spec.get("stdinOnce"))
        if any(self.spec.get(kind) for kind in _PROBES):
            self._prober = self._make_prober()
        writing = self._in_background(self._write_log(self.running.process))
        probing = self._in_background(self._prober.run()) if self._prober is not None else None
        self._in_background(self._watch(self.running, writing, probing))
        if self.running.process.returncode is None:
            self._changed()
        else:  # it ended before it was seen running, or never ran: it is not reported as running
            await self.exited.wait()

    async def post_start(self) -> None:
        """Run the postStart hook, if there is one, until it or the container ends. When it fails the container is ended."""
        handler = (self.spec.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        failure = await self._hook(handler, None)
        if failure and not self._stopping:
            self._shared.tell(self.spec, "Warning", "FailedPostStartHook", f"PostStartHook failed: {failure}")
            await self.stop(self._grace(), "FailedPostStartHook")

    @property
    def is_limited(self) -> bool:
        """Whether its requests and limits hold."""
        return self._group is not None

    def resize(self, spec: Json) -> str:
        """Let the requests and limits of `spec` hold from now on. Returns why they cannot, or ""."""
        try:
            if self._group is not None:
                self._group.limit_memory(resources.of_container(spec, self._shared.pod()))
                self._limit_processor(spec)
        except (OSError, TooLittleMemory) as error:
            return str(error)
        self.spec = spec
        self._changed()
        return ""

    async def stop(self, grace: float, why: str) -> None:
        """End the run: preStop hook, SIGTERM, and SIGKILL after `grace` seconds. Returns when it has ended."""
        if self.running is None or self.exited.is_set():
            return
        first, self._stopping = not self._stopping, True
        if self._prober is not None:
            self._prober.terminating()
        if first:
            self._shared.tell(self.spec, "Normal", "Killing", why)
        deadline = time.monotonic() + grace
        lifecycle = self.spec.get("lifecycle") or {}
        if first and grace > 0 and lifecycle.get("preStop"):
            failure = await self._hook(lifecycle["preStop"], grace)
            if failure:
                self._shared.tell(self.spec, "Warning", "FailedPreStopHook", f"PreStopHook failed: {failure}")
        if grace > 0 and not self.exited.is_set():
            self.running.signal(stop_signal(lifecycle, self.image))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(deadline - time.monotonic(), min(grace, _MINIMUM_GRACE))):
                    await self.exited.wait()
        self.kill()
        await self.exited.wait()

    def kill(self) -> None:
        """Kill every process of it at once."""
        if self.running is not None and not self.exited.is_set():
            self._stopping = True
            self.running.kill()

    async def execute(self, command: list[str]) -> tuple[int, bytes]:
        """Run a command in the container and return its exit code and the first 10 KiB of its output. Ended when cancelled."""
        if self.running is None or self.exited.is_set():
            return 137, b"container not running"
        try:
            process = await Process.start(self.running.enter(command))
        except (LookupError, OSError) as error:
            return 126, str(error).encode()
        said = bytearray()
        try:
            async for _, chunk in process.outputs():
                said += chunk[: _EXEC_OUTPUT_BYTES - len(said)]
            return await process.wait(), bytes(said)
        finally:
            process.signal(signal.SIGKILL, group=True)
            process.close()

    async def close(self) -> None:
        """End it at once and release its resources; its log stays."""
        self.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _plan(self) -> Spec:
        """The plan for the pod as it is now. Raises NotYet."""
        shared = self._shared
        place = plan.Place(
            netns=shared.netns,
            pid=shared.pid_namespace(self.spec),
            shm=shared.root / "shm",
            etc=shared.root / "etc",
            scratch=self._scratch,
            layers=shared.layers,
            hostname=shared.hostname,
            host_ip=shared.host_ip,
            message_file=self._message_file,
            accounts=Accounts.of(self.image.root) if self.image.root else Accounts(),
            objects=shared.objects,
            mounts=shared.volumes.mounts,
            group=self._group,
        )
        return plan.plan(shared.pod(), self.spec, self.image, place)

    @property
    def _message_file(self) -> Path:
        path: Path = self._scratch / "termination-log"
        return path

    def _make_group(self) -> None:
        """Make its control group; memory is limited at once, processor time when its program runs: what starts it is not its own."""
        if self._shared.group is not None:
            self._group = self._shared.group.child(f"{self.spec['name']}.{self.number}")
            self._group.limit_memory(resources.of_container(self.spec, self._shared.pod()))

    def _limit_processor(self, spec: Json) -> None:
        if self._group is not None:
            self._group.limit_processor(resources.of_container(spec, self._shared.pod()))

    def _make_folders(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        self._message_file.touch()
        self._message_file.chmod(0o666)  # whatever user the container runs as writes to it
        self.log.parent.mkdir(parents=True, exist_ok=True)
        logs.delete(log_path(self._shared.root, self.spec["name"], self.number - 2))  # kubelet keeps one old log too

    def _make_prober(self) -> Prober:
        def liveness_failed(why: str) -> None:
            probe = (self._prober.failed_probe if self._prober is not None else None) or {}
            self.restart = restart_policy.after_probe(self._shared.pod(), self.spec)
            why += ", will be restarted" if self.restart else ""
            self._in_background(self.stop(float(probe.get("terminationGracePeriodSeconds") or self._grace()), why))

        def event(kind: EventKind, reason: str, message: str, /) -> None:
            self._shared.tell(self.spec, kind, reason, message)

        return Prober(
            self.spec,
            pod_ip=self._shared.netns.ip,
            exec=self.execute,
            on_change=self._changed,
            on_liveness_failed=liveness_failed,
            on_event=event,
        )

    async def _write_log(self, process: Process) -> None:
        await logs.LogWriter(self.log).copy(process.outputs())

    async def _watch(self, running: sandbox.Running, writing: asyncio.Task[None], probing: asyncio.Task[None] | None) -> None:
        code = await running.process.wait()
        finished = clock.now()
        running.kill()  # processes that the main process left behind end with it
        if probing is not None:
            probing.cancel()
        await asyncio.wait([writing], timeout=_LAST_OUTPUT_SECONDS)
        never_ran = endings.start_error(code, await asyncio.to_thread(endings.last_words, self.log)) if code else ""
        message = never_ran or await asyncio.to_thread(self._message, code)
        if code == NOT_FOUND and (not message or (never_ran and message.endswith(_ABSENT))):
            message = " ".join(filter(None, (message, self.image.told_when_absent)))
        out_of_memory = code and self._group is not None and self._group.killed_for_memory()
        reason = START_ERROR if never_ran else "OOMKilled" if out_of_memory else "Error" if code else "Completed"
        self.terminated = Terminated(code, reason, self.started_at, finished, self.id, message)
        self.exited.set()
        self._changed()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        if self._group is not None:
            await asyncio.to_thread(self._group.remove)

    def _message(self, code: int) -> str:
        """The container's termination message, by its terminationMessagePolicy."""
        try:
            text = self._message_file.read_bytes()[:_MESSAGE_BYTES].decode(errors="replace")
        except OSError:
            text = ""
        if text or code == 0 or self.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return text
        return endings.last_words(self.log)

    def _changed(self) -> None:
        self._on_change(self)

    def _grace(self) -> float:
        return float(self._shared.pod()["spec"].get("terminationGracePeriodSeconds", 30))

    async def _hook(self, handler: Json, seconds: float | None) -> str:
        """Run a hook until it, the container or the time ends. Returns why it failed, or ""."""
        hook = asyncio.ensure_future(hooks.run(handler, self.spec, pod_ip=self._shared.netns.ip, execute=self.execute))
        ended = asyncio.ensure_future(self.exited.wait())
        try:
            await asyncio.wait({hook, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if hook.done():
                error = hook.exception()
                return "" if error is None else str(error)
            return "the container ended first" if ended.done() else "it took longer than the grace period"
        finally:
            hook.cancel()
            ended.cancel()

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"container {self.spec['name']}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s: %s", task.get_name(), error, exc_info=error)


def stop_signal(lifecycle: Json, image: Image) -> signal.Signals:
    """The signal that ends the container: the pod's stopSignal, else the image's (a name or a number), else SIGTERM.

    >>> from meshcourse.node.images import Image
    >>> stop_signal({}, Image(names=("nginx",), identity="", stop_signal="SIGQUIT")).name
    'SIGQUIT'
    """
    wanted = str(lifecycle.get("stopSignal") or image.stop_signal)
    try:
        return signal.Signals(int(wanted)) if wanted.isdigit() else signal.Signals["SIG" + wanted.removeprefix("SIG")]
    except (KeyError, ValueError):
        return signal.SIGTERM
