"""A panel's wish for the mesh and what the mesh holds: one object, read and written as a whole.

A wish is offered from any thread without waiting; the newest is written, one write at a time. After a refusal the error is shown and the
sliders go back to what the mesh holds. A change by kubectl moves the sliders, unless a newer wish is being written.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Generic, Protocol, TypeVar

from meshcourse.core import errors
from meshcourse.widgets.latest_only import Latest

T = TypeVar("T")
_AWAY: Final = frozenset({0, HTTPStatus.NOT_FOUND})
"""Status codes that do not refuse the wish: no answer, or the object does not exist (any more, or yet)."""


class Complain(Protocol):
    """Shows an error in the panel until the next one of the same name, or None."""

    def __call__(self, error: Exception | None, *, of: str = "") -> None:
        """Show `error`."""
        ...


class Setting(Latest[T], Generic[T]):
    """`read` and `write(held, wanted)` block and run in threads; `show` moves the sliders, which does not count as the learner's action."""

    def __init__(
        self, *, read: Callable[[], T], write: Callable[[T, T], T], show: Callable[[T], None], complain: Complain, of: str = "setting"
    ) -> None:
        super().__init__(self._bring_about)
        self._read, self._write, self._show, self._complain, self._of = read, write, show, complain, of
        self._known: list[T] = []
        self._wish: list[T] = []
        self._writes = 0
        self._away = False
        self.changed = 0.0
        """When the learner or the object last changed it, on time.monotonic()."""

    def load(self) -> T:
        """Read it for the first time; blocks. Raises what `read` raises."""
        self._known = [self._read()]
        return self.held

    @property
    def held(self) -> T:
        """What the mesh held when it was last read."""
        return self._known[0]

    @property
    def wish(self) -> T:
        """The newest wish while it is being written, else what the mesh holds: the start for the next move."""
        return self._wish[0] if self._wish and self.busy else self.held

    def offer(self, value: T) -> None:
        """Request `value`, which replaces a waiting wish. Returns at once; callable from any thread."""
        self._wish, self.changed = [value], time.monotonic()
        super().offer(value)

    async def set(self, wanted: T) -> T:
        """Write `wanted` and return what the mesh then holds. After a refusal the error is shown, the sliders go back, and it is raised."""
        try:
            held = await asyncio.to_thread(self._write, self.held, wanted)
        except Exception as error:
            self._complain(error, of=self._of)
            self._away = isinstance(error, errors.KubernetesError) and error.code in _AWAY
            with contextlib.suppress(Exception):  # a second error must not hide the first
                self._known = [await asyncio.to_thread(self._read)]
            self._written()
            raise
        self._complain(None, of=self._of)
        self._known, self.changed = [held], time.monotonic()
        self._written()
        return held

    async def follow(self) -> None:
        """Read the mesh and show it. Raises what `read` raises."""
        writes = self._writes
        held = await asyncio.to_thread(self._read)
        if self._away:  # it exists again: clear the error
            self._away = False
            self._complain(None, of=self._of)
        # A write or wish made during the read is newer than what was read.
        if writes == self._writes and not self.busy and held != self.held:
            self._known, self.changed = [held], time.monotonic()
            self._show(held)

    def _written(self) -> None:
        self._writes += 1
        if not self.waiting:
            self._show(self.held)

    async def _bring_about(self, wanted: T) -> None:
        with contextlib.suppress(Exception):  # the error is already shown
            await self.set(wanted)
