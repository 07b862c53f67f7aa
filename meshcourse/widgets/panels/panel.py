"""What every live panel has in common: it is opened once, redraws on a beat, shows its errors, and ends with its kernel.

A second panel with the same key closes the first, so that a cell can be run again. Callbacks run in the kernel's thread and never wait:
what takes time is handed to the background loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeVar

import IPython.display

from meshcourse.core import background, errors
from meshcourse.widgets.latest_only import Latest
from meshcourse.widgets.panels import capture, controls
from meshcourse.widgets.playback import Camera

Widget = Any  # ipywidgets has no types
T = TypeVar("T")
PATIENCE: Final = 10.0
FOLLOW: Final = 2.0
"""Seconds between looks at what the mesh holds: a learner's kubectl moves the sliders too."""

_open: dict[tuple[str, ...], Panel] = {}
_open_lock = threading.Lock()


class Panel:
    """Making one does no I/O; the first use opens it. Subclasses say what it is made of and what it does on each beat."""

    every: ClassVar[float] = 0.25
    """Seconds between two beats."""

    def __init__(self, *key: str) -> None:
        self._key = (type(self).__name__, *key)
        self._lock = threading.RLock()
        self._showing = False
        self._closed = False
        self._errors: dict[str, str] = {}
        self._latest: Latest[Any] = Latest(self._write)
        self._began = time.monotonic()
        self._box: Widget | None = None
        self._alert: Widget = None
        self._live: asyncio.Task[None] | None = None
        self._camera: Camera | None = None

    # -- what a subclass is ------------------------------------------------------------------------------------------------------------

    def _build(self) -> tuple[Widget, Widget]:
        """Read what the cluster holds and make the widgets: (the whole box, the line for errors). May block; raises MeshcourseError."""
        raise NotImplementedError

    def _inputs(self) -> tuple[Widget, ...]:
        """Everything that a learner can move or press."""
        raise NotImplementedError

    async def _beat(self) -> None:
        """Redraw, and look at the mesh; on the background loop."""
        raise NotImplementedError

    async def _write(self, wanted: Any) -> None:  # noqa: ANN401 - what the subclass offers to `_latest`
        """Bring about what was offered to `_latest` last; deals with its own failures."""

    async def _follow(self) -> None:
        """Look at what the mesh holds, and show it; not while something that was offered is on its way there."""

    async def _leave(self) -> None:
        """End what runs: loads, open lines."""
        raise NotImplementedError

    # -- life --------------------------------------------------------------------------------------------------------------------------

    def open(self) -> Self:
        """Build the widgets, once. Raises what `_build` raises, and PanelError for a panel that was closed."""
        with self._lock:
            if self._closed:
                raise errors.PanelError(
                    "This panel is closed.", why="it was closed, or its cell was run again", next="run the cell that shows it again"
                )
            if self._box is not None:
                return self
            self._box, self._alert = self._build()
            self._box.add_class("mc-panel")
            for widget in self._inputs():  # its accessible name, for those who do not see the label beside it
                widget.tooltip = widget.tooltip or widget.description
            self._live = background.run(self._task(self._keep_live()), timeout=PATIENCE)
        with _open_lock:
            older, _open[self._key] = _open.get(self._key), self
        if older is not None:
            older.close()
        return self

    def close(self) -> None:
        """End what runs and leave the picture as it is. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with _open_lock:
            if _open.get(self._key) is self:
                del _open[self._key]
        if self._box is not None:
            # Never hold up the kernel's exit, whatever the cluster does.
            for work in (self._end(self._live), self._leave()):
                with contextlib.suppress(Exception):
                    background.run(work, timeout=PATIENCE)
            self.end_recording()
            for widget in self._inputs():
                widget.disabled = True

    # -- films ---------------------------------------------------------------------------------------------------------------------------

    def record(self, path: Path | str) -> None:
        """Keep all that the panel shows from now on in a small file, until `end_recording` or `close`; `lab.replay(path)` shows it again.

        Raises TrafficError when the file cannot be written.
        """
        box = self.box
        camera = Camera(Path(path), type(self).__name__, capture.names(box))
        camera.take(self._now(), capture.scene(box))
        with self._lock:
            before, self._camera = self._camera, camera
        if before is not None:
            before.close()

    def end_recording(self) -> None:
        """The film is whole. Nothing happens when none is made."""
        self._take()
        with self._lock:
            camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _take(self) -> None:
        with self._lock:
            if self._camera is not None and self._box is not None:
                self._camera.take(self._now(), capture.scene(self._box))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def box(self) -> Widget:
        """The whole panel as a widget, built if need be."""
        return self.open()._box  # noqa: SLF001 - its own

    def _ipython_display_(self) -> None:
        IPython.display.display(self.box)  # type: ignore[no-untyped-call]

    def display(self) -> None:
        """Show the panel in the notebook."""
        self._ipython_display_()

    @staticmethod
    async def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work)

    @staticmethod
    async def _end(task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_live(self) -> None:
        """Draw once in `every` seconds; where drawing takes nearly as long or longer, a quarter of that is left for other work."""
        due, follow = time.monotonic() + self.every, time.monotonic() + FOLLOW
        async with self._latest:
            while True:
                await asyncio.sleep(max(due - time.monotonic(), self.every / 4))
                due = time.monotonic() + self.every
                await self._shown(self._beat(), of="the beat")
                if time.monotonic() > follow and not self._latest.busy:
                    follow = time.monotonic() + FOLLOW
                    await self._shown(self._follow(), of="what the mesh holds")
                if self._camera is not None:
                    await self._shown(asyncio.to_thread(self._take), of="the film")

    def _now(self) -> float:
        """Seconds since the panel was made."""
        return time.monotonic() - self._began

    # -- callbacks and errors ----------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Move widgets without taking it for the learner's doing: callbacks ask `_by_hand`."""
        with self._lock:
            before, self._showing = self._showing, True
            try:
                yield
            finally:
                self._showing = before

    def _by_hand(self) -> bool:
        """Whether a callback is the learner's doing. What another thread shows `_quietly` is waited for: read what is wanted before."""
        with self._lock:
            return not self._showing

    def _later(self, work: Coroutine[Any, Any, object]) -> None:
        """Hand `work` to the background loop; its failure is shown in the panel."""
        background.submit(self._shown(work))

    def _wait(self, work: Coroutine[Any, Any, T], *, within: float = PATIENCE) -> T:
        """Run `work` on the background loop and return its result; for calls from a cell."""
        try:
            self.open()
        except BaseException:
            work.close()
            raise
        return background.run(work, timeout=within)

    async def _shown(self, work: Coroutine[Any, Any, object], *, of: str = "") -> None:
        """Await `work` and show its failure. What is done again and again has a name, `of`: its error goes when it next succeeds."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - an error in a callback is shown in the widget
            self._complain(error, of=of)
        else:
            if of in self._errors and of:
                self._complain(None, of=of)

    def _complain(self, error: Exception | None, *, of: str = "") -> None:
        """Show an error, or clear the line of the last one `of` the same."""
        self._errors.pop(of, None)
        if error is not None:
            self._errors[of] = str(error) if isinstance(error, errors.MeshcourseError) else f"{type(error).__name__}: {error}"
        self._show_error()

    @property
    def _error(self) -> str:
        """The text of the error line."""
        return "\n".join(dict.fromkeys(self._errors.values()))

    def _show_error(self) -> None:
        if self._alert is not None:
            self._alert.value = controls.complaint(self._error)


def close_all() -> None:
    """Close every open panel; the kernel's exit calls it."""
    with _open_lock:
        panels = list(_open.values())
    for panel in panels:
        panel.close()


atexit.register(close_all)
