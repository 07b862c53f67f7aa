"""The client of an exec or attach, over any protocol: numbered channels of bytes.

Sources: k8s.io/apimachinery/pkg/util/remotecommand/constants.go, k8s.io/streaming/pkg/httpstream/wsstream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from meshcourse.node.streaming import spdy

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
WEBSOCKET_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")
SPDY_PROTOCOLS = ("v4.channel.k8s.io",)
_STREAM_TYPES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
_PATIENCE = 30.0  # seconds for a SPDY client to open its streams, as DefaultStreamCreationTimeout
_GOODBYE = 5.0  # seconds for a SPDY client to close the connection after the end
_PIECE = 32 * 1024  # kubectl reads messages into a buffer of this size


class Client(Protocol):
    """The client of an exec or attach."""

    def receive(self) -> AsyncIterator[tuple[int, bytes | None]]:
        """Channels and their data; None: the client closed this one. Ends when the client has disconnected."""

    async def send(self, channel: int, data: bytes) -> None:
        """Send, waiting while the client is slow. Raises ConnectionError when it has disconnected."""

    async def finish(self, status: Mapping[str, Any]) -> None:
        """Send the final Status, and end the session."""

    async def ping(self) -> None:
        """Check whether the client is still connected. Raises ConnectionError."""


class WebsocketClient:
    """A client with a websocket and the channels that it asked for."""

    def __init__(self, socket: web.WebSocketResponse, channels: set[int]) -> None:
        self._socket = socket
        self._channels = channels

    async def open(self) -> None:
        """Open the session, as a kubelet does: an empty message on the lowest channel to the client."""
        await self._socket.send_bytes(bytes((min(self._channels & {STDOUT, STDERR, ERROR}),)))

    async def receive(self) -> AsyncIterator[tuple[int, bytes | None]]:
        """Accept TEXT as well as BINARY: the Python client sends both."""
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            if len(data) > 1 and data[0] == CLOSE:
                yield data[1], None
            elif data:
                yield data[0], data[1:]

    async def send(self, channel: int, data: bytes) -> None:
        """Send one message for each piece; a client complains about channels that it has not asked for."""
        for start in range(0, len(data), _PIECE) if channel in self._channels else ():
            await self._socket.send_bytes(bytes((channel,)) + data[start : start + _PIECE])

    async def finish(self, status: Mapping[str, Any]) -> None:
        """Before v4 the error channel had text, and only after a failure."""
        if self._socket.ws_protocol in WEBSOCKET_PROTOCOLS[:2]:
            await self.send(ERROR, json.dumps(status).encode())
        elif status["status"] != "Success":
            await self.send(ERROR, str(status.get("message", "")).encode())
        await self._socket.close()

    async def ping(self) -> None:
        """Send a websocket ping."""
        await self._socket.ping()


class SpdyClient:
    """A client with a SPDY stream for each channel. `await open(...)` first."""

    def __init__(self, connection: spdy.Connection) -> None:
        self._connection = connection
        self._streams: dict[int, spdy.Stream] = {}
        self._events: asyncio.Queue[tuple[int, bytes | None] | None] = asyncio.Queue(1)
        self._opened = asyncio.Event()
        self._gone = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, channels: set[int]) -> None:
        """Wait until the client has opened these. Raises TimeoutError."""
        self._tasks.append(asyncio.create_task(self._accept(channels)))
        async with asyncio.timeout(_PATIENCE):
            await self._opened.wait()

    async def receive(self) -> AsyncIterator[tuple[int, bytes | None]]:
        """Merge the data of stdin and resize."""
        while (event := await self._events.get()) is not None:
            yield event

    async def send(self, channel: int, data: bytes) -> None:
        """Send on a stream that the client opened; others are dropped."""
        if channel in self._streams:
            await self._streams[channel].write(data)

    async def finish(self, status: Mapping[str, Any]) -> None:
        """Send the Status and the end of every stream, then let the client close the connection: its remaining data is read and dropped."""
        await self.send(ERROR, json.dumps(status).encode())
        for stream in self._streams.values():
            stream.ignore()
            await stream.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._gone.wait()

    async def ping(self) -> None:
        """Send a SPDY ping."""
        await self._connection.ping()

    async def close(self) -> None:
        """Stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, channels: set[int]) -> None:
        with contextlib.suppress(spdy.ProtocolError, ConnectionError):
            async for stream in self._connection.streams():
                channel = _STREAM_TYPES.get(stream.headers.get("streamtype", ""))
                if channel is None or channel in self._streams:
                    await stream.reset(spdy.REFUSED)
                    continue
                self._streams[channel] = stream
                if channel in (STDIN, RESIZE):
                    self._tasks.append(asyncio.create_task(self._listen(channel, stream)))
                if channels <= self._streams.keys():
                    self._opened.set()
        self._opened.set()
        self._gone.set()
        await self._events.put(None)

    async def _listen(self, channel: int, stream: spdy.Stream) -> None:
        while data := await stream.read():
            await self._events.put((channel, data))
        await self._events.put((channel, None))
