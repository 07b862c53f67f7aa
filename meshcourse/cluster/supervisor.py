"""Keeps the control plane's programs running: starts them, restarts them with back-off, writes their logs, knows their state.

A log that has grown past 20 MB is renamed when its program starts again. A program that failed on a full disk starts again as soon as
there is room. When a program was away for long, those that need it are started anew: their own attempts to connect would by then be up
to two minutes apart (gRPC's back-off).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from meshcourse.cluster.components import Component
from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries

_log = logging.getLogger(__name__)

LONGEST_LOG = 20_000_000
FIRST_BACK_OFF, LONGEST_BACK_OFF, STEADY = 0.5, 8.0, 60.0
ROOM = 100_000_000
"""Bytes free on the disk below which it counts as full: etcd allocates its log 64 MB at a time."""
LOOK = 0.25
"""Seconds between two looks at a full disk."""
LONG = 5.0
"""Seconds: whoever needs a program that was away for longer is started anew."""
BACK = 2.0
"""Seconds that a program must have run after an absence to count as back."""


@dataclass(frozen=True)
class Health:
    """A component's status: `state` is running, waiting (for its next start) or stopped; `since` is Unix time in seconds.

    `pid` is in the cluster's own PID namespace.
    """

    name: str
    state: str
    pid: int = 0
    restarts: int = 0
    since: float = 0.0
    last_exit: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For status.json."""
        return asdict(self)


def back_off(restarts: int) -> float:
    """Seconds to wait before start number `restarts`: 0.5, 1, 2, 4, 8.

    >>> [back_off(n) for n in (1, 2, 3, 20)]
    [0.5, 1.0, 2.0, 8.0]
    """
    return float(min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** (restarts - 1)))


class Supervisor:
    """Runs components inside its block."""

    def __init__(self, logs: Path, environment: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._health: dict[str, Health] = {}
        self._running: dict[str, tuple[asyncio.subprocess.Process, Component, float]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Kill all: the cluster's data does not outlive it, so there is nothing to save."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def start(self, component: Component) -> None:
        """Start `component` and keep it running from now on."""
        spawned = asyncio.Event()
        task = self._tasks[component.name] = asyncio.create_task(self._keep(component, spawned), name=component.name)
        waiting = asyncio.create_task(spawned.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            await task

    def health(self) -> tuple[Health, ...]:
        """All components in the order of their start."""
        return tuple(self._health.values())

    def _set(self, health: Health) -> None:
        self._health[health.name] = replace(health, since=time.time())
        self._changed()

    async def _keep(self, component: Component, spawned: asyncio.Event) -> None:
        restarts, failures = 0, 0
        code: int | None
        gone: float | None = None
        while True:
            started = time.monotonic()
            try:
                code = await self._run(component, restarts, spawned, gone)
            except (OSError, EngineError):
                if not restarts:  # the caller gets the error
                    raise
                _log.exception("%s is not started again", component.name)
                code = None
            ran = time.monotonic() - started
            failures = 1 if ran > STEADY else failures + 1
            gone = time.monotonic() if gone is None or ran > BACK else gone
            restarts += 1
            self._set(Health(component.name, "waiting", 0, restarts, last_exit=code))
            await self._pause(back_off(failures))

    async def _pause(self, seconds: float) -> None:
        """Wait before a start; on a full disk no longer than until there is room."""
        was_full, ends = self._disk_is_full(), time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and (not was_full or self._disk_is_full()):  # noqa: ASYNC110 - nobody tells of room
            await asyncio.sleep(min(LOOK, left) if was_full else left)

    def _disk_is_full(self) -> bool:
        return shutil.disk_usage(self._logs).free < ROOM

    async def _renew(self, name: str, gone: float) -> None:
        """Once `name`, which went at `gone`, is back: end the programs that need it and ran already, so that they start anew."""
        await asyncio.sleep(BACK)
        if time.monotonic() - gone < LONG:
            return
        for process, component, started in self._running.values():
            if component.needs == name and started < gone:
                _log.info("%s starts anew, since %s was away for %.0f s", component.name, name, time.monotonic() - gone)
                process.kill()

    async def _run(self, component: Component, restarts: int, spawned: asyncio.Event, gone: float | None) -> int:
        path = self._logs / f"{component.name}.log"
        if path.exists() and path.stat().st_size > LONGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                component.name,
                *component.arguments,
                executable=binaries.program(component.program),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        self._set(Health(component.name, "running", process.pid, restarts))
        spawned.set()
        self._running[component.name] = process, component, time.monotonic()
        renewing = asyncio.create_task(self._renew(component.name, gone)) if gone is not None else None
        try:
            return await process.wait()
        finally:
            del self._running[component.name]
            if renewing:
                renewing.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
                self._set(Health(component.name, "stopped", 0, restarts, last_exit=process.returncode))
