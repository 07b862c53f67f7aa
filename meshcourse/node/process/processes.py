"""A running program: its pipes or terminal, its output for several readers, its end.

Everything happens on the event loop: no thread waits for a child. The child is spawned from the loop's own thread, as PR_SET_PDEATHSIG
requires. Run by the sandbox and by the streaming server.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Stream = Literal["stdout", "stderr"]
_FileAction = tuple[int, int, int] | tuple[int, int, str, int, int]

_CHUNK = 64 * 1024
_WAITING_BYTES = 512 * 1024  # a subscriber holds this much before it slows the program down
_PATIENCE = 1.0  # seconds without progress after which a stalled extra subscriber is dropped
_AFTER_EXIT = 0.5  # seconds of silence after which output that a left-over child holds open counts as ended
_END_OF_TRANSMISSION = b"\x04"


class StalledReader(Exception):  # noqa: N818 - a condition of the reader, not of the program
    """The subscriber did not read its output; the program continued without it."""


class Outputs:
    """What one subscriber receives: `async for stream, chunk in outputs`. Ends with the output, or at `close()`."""

    def __init__(self, process: Process, *, main: bool) -> None:
        self._process = process
        self._main = main
        self._chunks: deque[tuple[Stream, bytes]] = deque()
        self._size = 0
        self._ended = False
        self._stalled = False
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    def __aiter__(self) -> Outputs:
        return self

    async def __anext__(self) -> tuple[Stream, bytes]:
        while not self._chunks:
            if self._stalled:
                raise StalledReader
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        stream, chunk = self._chunks.popleft()
        self._size -= len(chunk)
        self._taken.set()
        return stream, chunk

    def close(self) -> None:
        """Stop receiving. This subscriber no longer slows down the program."""
        self._chunks.clear()
        self._size = 0
        self.end()
        self._process.forget(self)

    async def put(self, stream: Stream, chunk: bytes) -> None:
        """Add a chunk (called by the process), waiting while the subscriber is full."""
        while self._size >= _WAITING_BYTES and not self._ended:
            self._taken.clear()
            try:
                async with asyncio.timeout(None if self._main else _PATIENCE):
                    await self._taken.wait()
            except TimeoutError:
                self._stalled = True
                self._process.forget(self)
                self._changed.set()
                return
        if not self._ended:
            self._chunks.append((stream, chunk))
            self._size += len(chunk)
            self._changed.set()

    def end(self) -> None:
        """No more chunks will follow (called by the process)."""
        self._ended = True
        self._changed.set()
        self._taken.set()


@dataclass(frozen=True)
class _Plumbing:
    """Descriptors of a program about to start: our ends, its ends, and what makes its ends 0, 1 and 2."""

    outputs: dict[Stream, int]
    input: tuple[int, ...]  # none or one
    theirs: tuple[int, ...]
    actions: list[_FileAction]


def _terminal(*, stdin: bool) -> _Plumbing:
    ours, theirs = os.openpty()
    entry = (os.dup(ours),) if stdin else ()
    os.set_blocking(ours, False)  # the flag belongs to the terminal, so to its duplicate too
    # Opened, not duplicated: a session leader gains its controlling terminal by opening it.
    opened = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(theirs), os.O_RDWR, 0)
    return _Plumbing({"stdout": ours}, entry, (theirs,), [opened, (os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)])


def _pipes(*, stdin: bool) -> _Plumbing:
    source, entry = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), None)
    out, out_sink = os.pipe()
    err, err_sink = os.pipe()
    for ours in (out, err, *(() if entry is None else (entry,))):
        os.set_blocking(ours, False)
    theirs = (source, out_sink, err_sink)
    actions: list[_FileAction] = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(theirs)]
    return _Plumbing({"stdout": out, "stderr": err}, () if entry is None else (entry,), theirs, actions)


def _is_dev_null(descriptor: int) -> bool:
    return os.fstat(descriptor).st_rdev == Path(os.devnull).stat().st_rdev


class Process:
    """A running program, leader of a session and process group of its own. Made by `await Process.start(...)`."""

    def __init__(self, pid: int, pidfd: int, plumbing: _Plumbing, *, tty: bool) -> None:
        self.pid = pid
        self.tty = tty
        self.stdin_once = False  # a container's stdinOnce: the first attach client that leaves closes stdin
        self._descriptors = dict(plumbing.outputs)
        self._input = plumbing.input[0] if plumbing.input else None
        self._writing = asyncio.Lock()
        self._subscribers: list[Outputs] = []
        self._pumps: asyncio.Future[list[None]] | None = None
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = pidfd
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        tty: bool = False,
        stdin: bool = False,
        owner: tuple[int, int] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Spawn `argv` (found on this process's PATH). `owner` is the (uid, gid) that may re-open its /dev/stdout.

        Output is read only after the first call of `outputs()`. Raises OSError when the program cannot be executed.
        """
        plumbing = _terminal(stdin=stdin) if tty else _pipes(stdin=stdin)
        actions = plumbing.actions + [(os.POSIX_SPAWN_DUP2, number, number) for number in pass_fds]  # onto itself: kept open
        try:
            if owner is not None:
                for descriptor in plumbing.theirs:
                    if not _is_dev_null(descriptor):  # the host's, whose owner must not change
                        os.fchown(descriptor, *owner)
            # Blocks for about a millisecond. The child must come from this thread, and posix_spawn forks nothing but it.
            pid = os.posix_spawnp(  # noqa: ASYNC221
                argv[0],
                list(argv),
                dict(os.environ if env is None else env),
                file_actions=actions,
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
            )
        except BaseException:
            for descriptor in (*plumbing.outputs.values(), *plumbing.input):
                os.close(descriptor)
            raise
        finally:
            for descriptor in plumbing.theirs:
                os.close(descriptor)
        return cls(pid, os.pidfd_open(pid), plumbing, tty=tty)

    @property
    def returncode(self) -> int | None:
        """The exit code, None while the program runs."""
        return self._exit.result() if self._exit.done() else None

    async def wait(self) -> int:
        """Exit code; 128 + n after signal n. Output may still be on its way to the subscribers."""
        return await asyncio.shield(self._exit)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the program, or to its process group. Nothing happens once it has ended."""
        if self._exit.done():
            return
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                signal.pidfd_send_signal(self._pidfd, number)

    def resize(self, width: int, height: int) -> None:
        """Set the terminal's size in characters; the program gets SIGWINCH. Does nothing without a terminal."""
        if self.tty and "stdout" in self._descriptors:
            fcntl.ioctl(self._descriptors["stdout"], termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def write(self, data: bytes) -> None:
        """Write to stdin, waiting while the program does not read. Dropped when it has closed its stdin or ended."""
        rest = memoryview(data)
        async with self._writing:
            while rest and self._input is not None:
                try:
                    rest = rest[os.write(self._input, rest) :]
                except BlockingIOError:
                    await self._writable(self._input)
                except OSError:
                    self._close_input()

    async def close_stdin(self) -> None:
        """End stdin once everything before has been written; on a terminal, as Ctrl-D does."""
        if self.tty:
            await self.write(_END_OF_TRANSMISSION)
            return
        async with self._writing:
            self._close_input()

    def outputs(self) -> Outputs:
        """Subscribe, from now on. The first subscription starts the reading and sees everything."""
        subscriber = Outputs(self, main=self._pumps is None)
        if self._pumps is None:
            self._subscribers.append(subscriber)
            self._pumps = asyncio.gather(*(self._pump(one) for one in tuple(self._descriptors)))
            self._pumps.add_done_callback(self._end_of_output)
        elif self._pumps.done():
            subscriber.end()
        else:
            self._subscribers.append(subscriber)
        return subscriber

    def forget(self, subscriber: Outputs) -> None:
        """Remove a subscriber (called by itself)."""
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)

    def close(self) -> None:
        """Close pipes and terminal (a terminal hangs up). The program is not killed, and its exit is still noticed."""
        self._close_input()
        if self._pumps is None:
            self._pumps = asyncio.gather()
            self._pumps.add_done_callback(self._end_of_output)
        else:
            self._pumps.cancel()

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:  # other code in this process waited for this child; the exit code is lost
            code = 255
        else:
            code = os.waitstatus_to_exitcode(status)
        self._close_input()
        self._exit.set_result(code if code >= 0 else 128 - code)

    async def _pump(self, stream: Stream) -> None:
        descriptor = self._descriptors[stream]
        try:
            while chunk := await self._read(descriptor):
                for subscriber in tuple(self._subscribers):
                    await subscriber.put(stream, chunk)
                await asyncio.sleep(0)  # a program that never pauses must not block the loop for others
        finally:
            del self._descriptors[stream]
            os.close(descriptor)

    async def _read(self, descriptor: int) -> bytes:
        while True:
            try:
                return os.read(descriptor, _CHUNK)
            except BlockingIOError:
                if not await self._readable(descriptor):
                    return b""
            except OSError:  # EIO: all other ends of the terminal are closed
                return b""

    async def _readable(self, descriptor: int) -> bool:
        """Wait for output. False when the program has ended and processes it left behind print nothing more."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _settle, ready)
        try:
            await asyncio.wait((ready, self._exit), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await asyncio.wait((ready,), timeout=_AFTER_EXIT)
            return ready.done()
        finally:
            loop.remove_reader(descriptor)

    async def _writable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(descriptor, _settle, ready)
        try:
            await asyncio.wait((ready, self._exit), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._input == descriptor:  # otherwise it is closed already, and the number may be in use again
                loop.remove_writer(descriptor)

    def _close_input(self) -> None:
        if self._input is not None:
            asyncio.get_running_loop().remove_writer(self._input)
            os.close(self._input)
            self._input = None

    def _end_of_output(self, pumps: asyncio.Future[list[None]]) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber.end()
        self._subscribers.clear()
        for descriptor in self._descriptors.values():  # never read, when closed before the reading began
            os.close(descriptor)
        self._descriptors.clear()
        with contextlib.suppress(asyncio.CancelledError):
            pumps.result()  # anything but the cancelling of close() is a bug of ours: the loop reports it


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
