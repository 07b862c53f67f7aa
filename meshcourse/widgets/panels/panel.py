"""What all live panels share: a panel is opened once, redraws at an interval, shows its errors, and ends with its kernel.

A subclass has a key (its cluster and objects), makes its widgets in `_build` and redraws in `_beat`. A second panel with the same key
closes the first, so that a cell can be run again. Callbacks run in the kernel's thread and never wait: slow work goes to the background
loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeVar

import IPython.display

from meshcourse.core import background, errors
from meshcourse.widgets.latest_only import Latest
from meshcourse.widgets.panels import capture, parts
from meshcourse.widgets.panels.setting import Setting
from meshcourse.widgets.playback import Camera

Widget = Any  # ipywidgets has no types


class Made(Protocol):
    """The widgets of a panel."""

    @property
    def box(self) -> Widget:
        """The whole panel."""
        ...

    @property
    def error(self) -> Widget:
        """The line for errors."""
        ...

    def inputs(self) -> tuple[Widget, ...]:
        """All widgets that a learner can move or press."""
        ...


T = TypeVar("T")
C = TypeVar("C", bound=Made)
"""A panel's widgets."""
S = TypeVar("S")
"""What a panel's `snapshot` returns."""
PATIENCE: Final = 10.0
FOLLOW: Final = 2.0
"""Seconds between reads of the mesh: the sliders follow a learner's kubectl, too."""

_open: dict[tuple[str, ...], Panel[Any, Any]] = {}
_open_lock = threading.Lock()


class Panel(Generic[C, S]):
    """Construction does no I/O; the first use opens the panel. Subclasses define the widgets and what each beat does."""

    every: ClassVar[float] = 0.25
    """Seconds between two beats."""

    def __init__(self, *key: str) -> None:
        self._key = (type(self).__name__, *key)
        self._lock = threading.RLock()
        self._showing = False
        self._closed = False
        self._errors: dict[str, str] = {}
        self._hands: list[Latest[Any]] = []
        self._began = time.monotonic()
        self._controls: C | None = None
        self._live: asyncio.Task[None] | None = None
        self._beats = 0
        self._camera: Camera | None = None

    # -- for subclasses ----------------------------------------------------------------------------------------------------------------

    def _build(self) -> C:
        """Read the cluster and make the widgets. May block; raises MeshcourseError."""
        raise NotImplementedError

    async def _beat(self) -> None:
        """Redraw, and read the mesh; on the background loop."""

    async def _snapshot(self) -> S:
        """The panel now; on the background loop."""
        raise NotImplementedError

    def _setting(self, *, read: Callable[[], T], write: Callable[[T, T], T], show: Callable[[T], None], of: str = "setting") -> Setting[T]:
        """A Setting with the panel's lifetime, which shows its errors in it and moves its sliders by `show`; for `__init__`."""

        def quietly(held: T) -> None:
            if self._controls is not None:
                with self._quietly():
                    show(held)

        made = Setting(read=read, write=write, show=quietly, complain=self._complain, of=of)
        self._hands.append(made)
        return made

    async def _leave(self) -> None:
        """Stop loads and close connections."""

    # -- life --------------------------------------------------------------------------------------------------------------------------

    def open(self) -> Self:
        """Build the widgets, once. Raises what `_build` raises, and PanelError for a panel that was closed."""
        with self._lock:
            if self._closed:
                raise errors.PanelError(
                    "This panel is closed.", why="it was closed, or its cell was run again", next="run the cell that shows it again"
                )
            if self._controls is not None:
                return self
            self._controls = self._build()
            self._controls.box.add_class("mc-panel")
            for widget in self._controls.inputs():  # its accessible name, for screen readers, which do not read the label beside it
                widget.tooltip = widget.tooltip or widget.description
            self._show_error()  # errors from before there was a line for them
            self._live = background.run(self._task(self._keep_live()), timeout=PATIENCE)
        with _open_lock:
            older, _open[self._key] = _open.get(self._key), self
        if older is not None:
            older.close()
        return self

    def close(self) -> None:
        """Stop everything that runs and leave the picture as it is. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with _open_lock:
            if _open.get(self._key) is self:
                del _open[self._key]
        if self._controls is not None:
            # Never delay the kernel's exit, whatever the cluster does.
            for work in (self._end(self._live), self._leave()):
                with contextlib.suppress(Exception):
                    background.run(work, timeout=PATIENCE)
            self.end_recording()
            for widget in self._controls.inputs():
                widget.disabled = True

    # -- films ---------------------------------------------------------------------------------------------------------------------------

    def record(self, path: Path | str) -> None:
        """Save everything that the panel shows from now on to a small file, until `end_recording` or `close`; `lab.replay(path)` shows it.

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
        """End the film. Does nothing when none is being recorded."""
        self._take()
        with self._lock:
            camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _take(self) -> None:
        with self._lock:
            if self._camera is not None and self._controls is not None:
                self._camera.take(self._now(), capture.scene(self._controls.box))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def widgets(self) -> C:
        """The widgets, built if necessary."""
        self.open()
        if self._controls is None:
            raise AssertionError
        return self._controls

    @property
    def box(self) -> Widget:
        """The whole panel as a widget, built if necessary."""
        return self.widgets.box

    def snapshot(self) -> S:
        """The panel now."""
        return self._wait(self._snapshot())

    def redrawn(self) -> None:
        """Wait until it shows what is so now: what it shows may be as old as its last beat."""
        self.open()
        wanted, ends = self._beats + 2, time.monotonic() + PATIENCE  # the beat that runs now may have looked before
        while self._beats < wanted and not self._closed and time.monotonic() < ends:
            time.sleep(0.05)

    @property
    def running(self) -> bool:
        """Whether it is sending requests."""
        return False

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
        """Draw once in `every` seconds; when drawing takes that long, pause for a quarter of it, for other work."""
        due, follow = time.monotonic() + self.every, time.monotonic() + FOLLOW
        async with contextlib.AsyncExitStack() as stack:
            for hand in self._hands:
                await stack.enter_async_context(hand)
            while True:
                await asyncio.sleep(max(due - time.monotonic(), self.every / 4))
                due = time.monotonic() + self.every
                await self._shown(self._beat(), of="the beat")
                self._beats += 1
                if time.monotonic() > follow:
                    follow = time.monotonic() + FOLLOW
                    await self._shown(self._follow(), of="what the mesh holds")
                if self._camera is not None:
                    await self._shown(asyncio.to_thread(self._take), of="the film")

    async def _follow(self) -> None:
        """Read the mesh and show it, unless a newer wish is being written."""
        for hand in self._hands:
            if isinstance(hand, Setting) and not hand.busy:
                await hand.follow()

    def _now(self) -> float:
        """Seconds since the panel was made."""
        return time.monotonic() - self._began

    # -- callbacks and errors ----------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Move widgets from code: in this block `_by_hand` is false for callbacks."""
        with self._lock:
            before, self._showing = self._showing, True
            try:
                yield
            finally:
                self._showing = before

    def _by_hand(self) -> bool:
        """Whether a callback is the learner's action. Waits for `_quietly` in other threads, so read the sliders first."""
        with self._lock:
            return not self._showing

    def _later(self, work: Coroutine[Any, Any, object]) -> None:
        """Run `work` on the background loop; its failure is shown in the panel."""
        background.submit(self._shown(work))

    def _wait(self, work: Coroutine[Any, Any, T], *, within: float = PATIENCE) -> T:
        """Run `work` on the background loop and return its result; for calls from a cell."""
        try:
            self.open()
        except BaseException:
            work.close()
            raise
        return background.run(work, timeout=within)

    def _until(self, found: Callable[[S], T | None], within: float, *, what: str, why: Callable[[S], str], next: str = "") -> T:  # noqa: A002 - as errors have it
        """Poll snapshots until `found` returns something, and return that.

        Raises PanelError, "`what` within so many seconds", when that does not happen; `why` describes the last snapshot.
        """
        ends = time.monotonic() + within
        while True:
            now = self.snapshot()
            if (answer := found(now)) is not None:
                return answer
            if time.monotonic() > ends:
                following = next or ("panel.snapshot()" if self.running else "panel.start()    # no load is running")
                raise errors.PanelError(f"{what} within {within:g} s.", why=why(now) or self._error, next=following)
            time.sleep(0.05)

    async def _shown(self, work: Coroutine[Any, Any, object], *, of: str = "") -> None:
        """Await `work` and show its failure. Repeated work has a name, `of`: its error is cleared when it next succeeds."""
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

    def _remark(self) -> str:
        """A note below the errors, which is no error of the panel's own."""
        return ""

    def _show_error(self) -> None:
        if self._controls is not None:
            self._controls.error.value = parts.complaint(self._error) + parts.remark(self._remark())


def close_all() -> None:
    """Close every open panel; the kernel's exit calls it."""
    with _open_lock:
        panels = list(_open.values())
    for panel in panels:
        panel.close()


atexit.register(close_all)
