"""Work that is done one at a time, for the newest value only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Calls `work(value)` for the newest value offered. `work` must handle its own errors."""

    def __init__(self, work: Callable[[T], Awaitable[None]]) -> None:
        self._work = work
        self._value: list[T] = []
        self._working = False
        self._offered = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._value:  # offered before the loop ran
            self._offered.set()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def waiting(self) -> bool:
        """Whether a newer value is waiting."""
        return bool(self._value)

    @property
    def busy(self) -> bool:
        """Whether a value is waiting or being worked on."""
        return bool(self._value) or self._working

    async def idle(self) -> None:
        """Wait until no value is waiting or being worked on."""
        while self.busy:  # noqa: ASYNC110 - values come from other threads, where no asyncio.Event may be set
            await asyncio.sleep(0.02)

    def offer(self, value: T) -> None:
        """Request work on `value`, which replaces a waiting one. Returns at once; callable from any thread."""
        self._value = [value]
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._offered.set)

    async def _run(self) -> None:
        while True:
            await self._offered.wait()
            self._offered.clear()
            while self._value:
                self._working = True
                value, self._value = self._value[0], []
                try:
                    await self._work(value)
                finally:
                    self._working = False
