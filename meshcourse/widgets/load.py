"""The load that a panel starts and stops, and its results of the last seconds.

At most one run at a time, of real load or of a saved run. `sort` may give a result another label, by its latency for example; `on_result`
is called with each result. `changed` is called on the background loop when load starts and ends, `failed` with the error that ended it too
early.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from meshcourse.measure.windows import Summary, Window
from meshcourse.traffic import pacing, recording
from meshcourse.traffic.pacing import Pacing
from meshcourse.traffic.results import Counts, Labeller, Result
from meshcourse.traffic.sender import Receive, Sender
from meshcourse.traffic.targets import Target


class Load:
    """At most one run at a time. All but `running`, `dial` and `last_fault` is used on the background loop only."""

    def __init__(  # noqa: PLR0913 - each is a choice of the panel
        self,
        target: Target,
        label: Labeller,
        *,
        window: float,
        changed: Callable[[bool], None],
        failed: Callable[[Exception], None],
        shape: Pacing | None = None,
        sort: Callable[[Result], str] | None = None,
        on_result: Callable[[Result], None] | None = None,
    ) -> None:
        self.target = target
        self.dial = pacing.Dial(50)
        self.shape = shape or self.dial
        self.last_fault = ""
        self._fault_at = time.localtime()
        self._label = label
        self._sort = sort
        self._on_result = on_result
        self._window = Window(window)
        self._changed = changed
        self._failed = failed
        self._sender: Sender | None = None
        self._counts = Counts()
        self._task: asyncio.Task[None] | None = None

    @property
    def failure(self) -> str:
        """The last failed request as text, with the time of day; empty while none has failed."""
        return f"Last failed request, at {time.strftime('%H:%M:%S', self._fault_at)}: {self.last_fault}" if self.last_fault else ""

    @property
    def running(self) -> bool:
        """Whether load is being sent or a run replayed."""
        return self._task is not None and not self._task.done()

    @property
    def fresh(self) -> bool:
        """Whether the window may have changed since the last look."""
        return self.running or len(self._window) > 0

    async def start(self, record: Path | None = None) -> None:
        """Send at the dial's rate until `stop`, saving the run to `record`. Does nothing when load is running."""
        if not self.running:
            self._begin(self._send(record))

    async def replay(self, run: recording.Recording, *, speed: float) -> None:
        """Replay a saved run in place of load."""
        await self.stop()
        self._begin(recording.replay(run, self._receive, speed=speed))

    async def stop(self) -> None:
        """End the run and wait until its sockets are closed."""
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def look(self) -> tuple[Counts, Summary]:
        """The run's counts (the last one's, when none runs), and the window that ends now."""
        if self._sender is not None:
            self._counts = self._sender.counts
        return self._counts, self._window.summary(asyncio.get_running_loop().time())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.last_fault = ""
        self._window.clear()
        self._counts = Counts()
        self._task = asyncio.create_task(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._changed(True)  # noqa: FBT003 - load runs: yes
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the panel shows it; a task has nobody to raise to
            self._failed(error)
        finally:
            self._changed(False)  # noqa: FBT003 - load runs: no

    async def _send(self, record: Path | None) -> None:
        async with Sender(self.target, label=self._label) as sender:
            self._sender = sender
            try:
                if record is None:
                    await sender.run(self.shape, self._receive)
                else:
                    with recording.Recorder(record, self.target, self.shape) as recorder:
                        await sender.run(self.shape, self._kept_by(recorder))
            finally:
                self._counts, self._sender = sender.counts, None

    def _kept_by(self, recorder: recording.Recorder) -> Receive:
        def receive(result: Result) -> None:
            recorder.add(result)
            self._receive(result)

        return receive

    def forget(self) -> None:
        """Clear the window, since earlier results do not apply to what comes next."""
        self._window.clear()

    def _receive(self, result: Result) -> None:
        if self._sort is not None:
            result = dataclasses.replace(result, version=self._sort(result))
        self._window.add(result, at=asyncio.get_running_loop().time())
        if self._on_result is not None:
            self._on_result(result)
        if not result.ok:
            self._fault_at = time.localtime(result.ended)
            self.last_fault = result.error or f"{self.target.url} answered {result.status}"
