"""A container's log: written in the CRI log format, read with the options of `kubectl logs`.

Writer and readers are in the agent's process: a follower sleeps until the writer signals new data. The pods' workers run the writers, the
streaming server runs the readers.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

    from meshcourse.node.process.processes import Outputs, Stream

CAP = 10_000_000  # bytes in one file, as containerLogMaxSize
_LONGEST = 16 * 1024  # bytes of text in one record; the CRI's limit
_BLOCK = 64 * 1024
_TIME = slice(0, 30)
_STREAM = slice(31, 37)
_TAG = 38
_TEXT = 40
_FULL = ord("F")


class _Feed:
    """Notifies the readers of a path about its writer."""

    def __init__(self) -> None:
        self.writing = False
        self.closed = False
        self.changed = asyncio.Event()

    def tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


_feeds: WeakValueDictionary[Path, _Feed] = WeakValueDictionary()


def _old(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def delete(path: Path) -> None:
    """Delete a log, and its old file."""
    path.unlink(missing_ok=True)
    _old(path).unlink(missing_ok=True)


class LogWriter:
    """Writes one container's output to `path`."""

    def __init__(self, path: Path, *, cap: int = CAP) -> None:
        self._path = path
        self._cap = cap
        self._file: BinaryIO | None = None
        self._size = 0
        self._dropped = 0
        self._unfinished: dict[Stream, bytes] = {}
        self._feed = _feeds.setdefault(path, _Feed())

    async def copy(self, outputs: Outputs) -> None:
        """Write everything that comes, then close. Cancelled, it leaves the program running, its output unread."""
        self.open()
        try:
            async for stream, chunk in outputs:
                self.write(stream, chunk)
        finally:
            outputs.close()
            self.close()

    def open(self) -> None:
        """Create the file, and its folder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._feed.writing, self._feed.closed = True, False

    def write(self, stream: Stream, chunk: bytes) -> None:
        """Write the lines that `chunk` completes; the rest waits for its line end."""
        *lines, rest = (self._unfinished.get(stream, b"") + chunk).split(b"\n")
        head = _head(stream)
        records = [record for line in lines for record in _records(head, line)]
        while len(rest) > _LONGEST:
            records.append(b"%bP %b\n" % (head, rest[:_LONGEST]))
            rest = rest[_LONGEST:]
        self._unfinished[stream] = rest
        self._append(b"".join(records))

    def close(self) -> None:
        """Write what never got an end of line, as a part of one (P), and let followers end."""
        for stream, rest in self._unfinished.items():
            if rest:
                self._append(b"%bP %b\n" % (_head(stream), rest))
        self._unfinished.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._feed.writing, self._feed.closed = False, True
        self._feed.tell()

    def _append(self, records: bytes) -> None:
        if self._file is None or not records:
            return
        if self._dropped:
            records = b"%bF meshcourse: %d bytes of this log were lost: no space\n" % (_head("stderr"), self._dropped) + records
        try:
            rest = memoryview(records)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:  # a full disk costs the log, never the container; no partial record remains
            self._file.truncate(self._size)
            self._dropped += len(records)
            return
        self._dropped = 0
        self._size += len(records)
        if self._size >= self._cap:
            self._file.close()
            self._path.replace(_old(self._path))
            self._file = self._path.open("ab", buffering=0)
            self._size = 0
        self._feed.tell()


async def read(  # noqa: PLR0913 - the options of `kubectl logs`
    path: Path,
    *,
    ended: Callable[[], bool],
    follow: bool = False,
    tail_lines: int | None = None,
    since_seconds: int | None = None,
    since_time: datetime | None = None,
    timestamps: bool = False,
    limit_bytes: int | None = None,
    stream: Stream | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the log's text in blocks. A follower ends when the log is closed and read (without a writer: when `ended()`).

    A missing file counts as empty.
    """
    feed = _feeds.setdefault(path, _Feed())
    text = _Text(since=_since(since_seconds, since_time), timestamps=timestamps, limit=limit_bytes, stream=stream)
    with contextlib.ExitStack() as stack:
        files: list[BinaryIO] = [stack.enter_context(one.open("rb")) for one in (_old(path), path) if one.exists()]
        if tail_lines is not None:
            _seek(files, tail_lines)
        current: BinaryIO | None = None
        while not text.is_full():
            changed = feed.changed
            for block in _blocks(current) if current else ():
                if kept := text.of(block):
                    yield kept
                if text.is_full():
                    return
                await asyncio.sleep(0)  # a long log must not block the loop for others
            if following := files.pop(0) if files else _next(path, current, stack):
                current = following
            elif not follow or feed.closed or (not feed.writing and ended()):
                return
            elif changed is feed.changed:
                await _wait(changed, None if feed.writing else 1.0)


async def _wait(changed: asyncio.Event, seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()


class _Text:
    """Converts records to the requested text."""

    def __init__(self, *, since: bytes, timestamps: bool, limit: int | None, stream: Stream | None) -> None:
        self._since = since
        self._timestamps = timestamps
        self._left = limit
        self._stream = stream.encode() if stream else None
        self._at_start = True

    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self._left is not None and self._left <= 0

    def of(self, records: list[bytes]) -> bytes:
        """The requested part of these records."""
        text = b"".join(self._kept(records))
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text

    def _kept(self, records: list[bytes]) -> Iterator[bytes]:
        for record in records:
            if record[_TIME] < self._since or (self._stream and record[_STREAM] != self._stream):
                continue
            if self._timestamps and self._at_start:
                yield record[: _TIME.stop + 1]
            self._at_start = record[_TAG] == _FULL
            yield record[_TEXT:] if self._at_start else record[_TEXT:-1]


def _head(stream: Stream) -> bytes:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z {stream} ".encode()


def _records(head: bytes, line: bytes) -> Iterator[bytes]:
    while len(line) > _LONGEST:
        yield b"%bP %b\n" % (head, line[:_LONGEST])
        line = line[_LONGEST:]
    yield b"%bF %b\n" % (head, line)


def _since(seconds: int | None, moment: datetime | None) -> bytes:
    """A time in the records' format; such times, of fixed width and in UTC, compare as bytes."""
    if seconds is not None:
        moment = datetime.fromtimestamp(time.time() - seconds, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z".encode() if moment else b""


def _blocks(file: BinaryIO) -> Iterator[list[bytes]]:
    """Whole records from here to the end of the file; the writer never leaves a partial one."""
    while records := file.readlines(_BLOCK):
        yield records


def _next(path: Path, current: BinaryIO | None, stack: contextlib.ExitStack) -> BinaryIO | None:
    """Open the file that follows `current`; None when that is the newest. Files are identified by their inodes."""
    ours = os.fstat(current.fileno()).st_ino if current else 0
    newer: Path | None = None
    for candidate in (path, _old(path)):
        if candidate.exists():
            if candidate.stat().st_ino == ours:
                break
            newer = candidate
    return stack.enter_context(newer.open("rb")) if newer else None


def _seek(files: list[BinaryIO], lines: int) -> None:
    """Drop whole files from the list, and seek in the first one left, so that `lines` lines remain."""
    if not lines:
        del files[:-1]
        for file in files:
            file.seek(0, os.SEEK_END)
        return
    lines -= _ends_within_a_line(files)
    for index in reversed(range(len(files))):
        start, lines = _start(files[index], lines)
        if start is not None:
            files[index].seek(start)
            del files[:index]
            return


def _ends_within_a_line(files: list[BinaryIO]) -> bool:
    """Whether the last line has no end (yet); a line it is all the same."""
    for file in reversed(files):
        if end := os.fstat(file.fileno()).st_size:
            with mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as text:
                return text[text.rfind(b"\n", 0, end - 1) + 1 + _TAG] != _FULL
    return False


def _start(file: BinaryIO, lines: int) -> tuple[int | None, int]:
    """Offset after which `lines` lines follow; None and how many are still missing when the file has fewer."""
    end = os.fstat(file.fileno()).st_size
    if end == 0:
        return None, lines
    with mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as text:
        while end > 0:
            start = text.rfind(b"\n", 0, end - 1) + 1
            if text[start + _TAG] == _FULL:
                if lines == 0:
                    return end, 0
                lines -= 1
            end = start
    return None, lines
