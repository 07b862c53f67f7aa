"""The puller: a process of the cluster that stayed in the host's network, and the node's connection to it.

It reads one JSON line {"id", "reference"} from a socket for each wanted image. It ends when the other end of the socket closes, which is
when the last process of the cluster has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn, Self

from meshcourse.node.pulling import crane

_log = logging.getLogger(__name__)

_ENDED = "the process that pulls images has ended: `meshcourse down` and `meshcourse up` start a new one"


def serve(end: socket.socket) -> NoReturn:
    """Pull what is requested on `end` until it closes; then the process ends, though a thread may still wait for a lock."""
    try:
        asyncio.run(_serve(end))
    except Exception:  # noqa: BLE001 - said in the node's log, where the one who asks why nothing is pulled finds it
        _log.exception("the process that pulls images failed")
    finally:
        os._exit(0)


async def _serve(end: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=end)
    work: set[asyncio.Task[None]] = set()
    async for line in reader:
        task = asyncio.create_task(_answer(writer, **json.loads(line)))
        work.add(task)
        task.add_done_callback(work.discard)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    os._exit(0)


async def _answer(writer: asyncio.StreamWriter, id: int, reference: str) -> None:  # noqa: A002 - the message's word
    def say(**facts: object) -> None:
        writer.write(json.dumps({"id": id, **facts}).encode() + b"\n")

    try:
        say(digest=await crane.pull(reference, lambda done: say(bytes=done)))
    except crane.PullFailed as failure:
        say(words=str(failure), reached=failure.reached)
    except Exception as error:  # noqa: BLE001 - a full disk, a damaged config: whoever waits must hear of it
        _log.exception("%s is not pulled", reference)
        say(words=f"{type(error).__name__}: {error}", reached=True)


class Puller:
    """The node's side. Use as an async context manager."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._numbers = itertools.count()
        self._waiting: dict[int, tuple[asyncio.Future[str], Callable[[int], None]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        reader, self._writer = await asyncio.open_unix_connection(sock=self._end)
        self._reading = asyncio.create_task(self._read(reader), name="answers of the puller")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def pull(self, reference: str, on_progress: Callable[[int], None]) -> str:
        """Pull an image; returns its digest. `on_progress` is called with the bytes unpacked so far. Raises crane.PullFailed."""
        if self._writer is None or self._reading is None or self._reading.done():
            raise crane.PullFailed(_ENDED, reached=False)
        number = next(self._numbers)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer, on_progress
        try:
            self._writer.write(json.dumps({"id": number, "reference": reference}).encode() + b"\n")
            return await answer
        finally:
            del self._waiting[number]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                self._take(**json.loads(line))
        for answer, _ in self._waiting.values():
            if not answer.done():
                answer.set_exception(crane.PullFailed(_ENDED, reached=False))

    def _take(self, id: int, **said: Any) -> None:  # noqa: A002, ANN401 - a line of JSON
        answer, on_progress = self._waiting.get(id, (None, None))
        if answer is None or on_progress is None or answer.done():
            return
        if "bytes" in said:
            on_progress(said["bytes"])
        elif "digest" in said:
            answer.set_result(said["digest"])
        else:
            answer.set_exception(crane.PullFailed(said["words"], reached=said["reached"]))
