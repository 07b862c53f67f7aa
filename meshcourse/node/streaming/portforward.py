"""Port-forward: connections of a client's machine forwarded to 127.0.0.1 inside a pod.

Source: k8s.io/client-go/tools/portforward, k8s.io/kubelet/pkg/cri/streaming/portforward.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import WSMsgType, web

from meshcourse.node.streaming import spdy

PROTOCOL = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = ("v4.channel.k8s.io", "channel.k8s.io")
_PIECE = 32 * 1024
_SIGN_OF_LIFE = 2.0  # seconds between pings; see exec_attach.py
_WAITING_MESSAGES = 64

Connection = tuple[StreamReader, StreamWriter]
Connect = Callable[[int], Awaitable[Connection]]


def _trouble(port: int, error: Exception) -> str:
    reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
    return f"error forwarding port {port} to pod: failed to connect to 127.0.0.1:{port} inside the pod: {reason}"


async def over_spdy(connection: spdy.Connection, connect: Connect) -> None:
    """Serve one kubectl port-forward, until the client disconnects. Raises ProtocolError."""
    waiting: dict[str, dict[str, spdy.Stream]] = {}
    tasks = {asyncio.create_task(_keep_asking(connection))}
    try:
        async for stream in connection.streams():
            kind, request = stream.headers.get("streamtype"), stream.headers.get("requestid", stream.headers.get("port", ""))
            if kind not in ("error", "data") or _port(stream.headers) is None:
                await stream.reset(spdy.REFUSED)
                continue
            pair = waiting.setdefault(request, {})
            pair[kind] = stream
            if len(pair) == len(("error", "data")):
                del waiting[request]
                task = asyncio.create_task(_forward(pair["data"], pair["error"], connect))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
    except ConnectionError:  # the client left while something was sent
        pass
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _port(headers: Mapping[str, str]) -> int | None:
    text = headers.get("port", "")
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 16 else None


async def _keep_asking(connection: spdy.Connection) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE)
            await connection.ping()


async def _forward(data: spdy.Stream, errors: spdy.Stream, connect: Connect) -> None:
    """Serve one connection of the client's machine."""
    port = _port(data.headers) or 0
    with contextlib.suppress(ConnectionError):
        try:
            reader, writer = await connect(port)
        except (OSError, LookupError) as error:
            await errors.write(_trouble(port, error).encode())
        else:
            await _carry(reader, writer, data)
        data.ignore()
        await data.close()
        await errors.close()


class _Ends(Protocol):
    """The client's side of one forwarded connection."""

    gone: asyncio.Event

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


async def _carry(reader: StreamReader, writer: StreamWriter, client: _Ends) -> None:
    """Copy both directions; the connection is over when the pod has closed its side, or the client has disconnected."""
    inward, outward = asyncio.create_task(_inward(client, writer)), asyncio.create_task(_outward(reader, client))
    gone = asyncio.create_task(client.gone.wait())
    try:
        await asyncio.wait((outward, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        writer.close()  # before anything that waits: the server cancels a second time when the connection is lost
        for task in (inward, outward, gone):
            task.cancel()
        await asyncio.gather(inward, outward, gone, return_exceptions=True)


async def _inward(client: _Ends, writer: StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await client.read():
            writer.write(piece)
            await writer.drain()
        if not writer.is_closing():
            writer.write_eof()


async def _outward(reader: StreamReader, client: _Ends) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            await client.write(piece)


class _Channel:
    """One port of the websocket kind. It has no half close; the end of the websocket is the end of all."""

    def __init__(self, socket: web.WebSocketResponse, number: int) -> None:
        self.gone = asyncio.Event()
        self._socket = socket
        self._number = number
        self._received: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_MESSAGES)
        self._receiving = True

    async def read(self) -> bytes:
        return await self._received.get()

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(bytes((2 * self._number,)) + data)

    async def receive(self, data: bytes) -> None:
        if self._receiving:
            await self._received.put(data)

    async def serve(self, port: int, connect: Connect) -> None:
        """Forward this port's one connection."""
        with contextlib.suppress(ConnectionError):
            try:
                reader, writer = await connect(port)
            except (OSError, LookupError) as error:
                await self._socket.send_bytes(bytes((2 * self._number + 1,)) + _trouble(port, error).encode())
            else:
                await _carry(reader, writer, self)
        self._receiving = False
        while not self._received.empty():  # lets a message through that waits for its place
            self._received.get_nowait()


async def over_channels(socket: web.WebSocketResponse, ports: list[int], connect: Connect) -> None:
    """Serve the Python client's port-forward: one connection for each port, until all have ended or the client disconnects."""
    channels = [_Channel(socket, number) for number in range(len(ports))]
    for number, port in enumerate(ports):
        for channel in (2 * number, 2 * number + 1):
            await socket.send_bytes(struct.pack("<BH", channel, port))
    serving = asyncio.gather(*(channel.serve(port, connect) for channel, port in zip(channels, ports, strict=True)))
    listening = asyncio.create_task(_dispatch(socket, channels))
    try:
        await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        serving.cancel()
        listening.cancel()
        await asyncio.gather(serving, listening, return_exceptions=True)
        await socket.close()


async def _dispatch(socket: web.WebSocketResponse, channels: list[_Channel]) -> None:
    async for message in socket:
        if message.type is WSMsgType.BINARY and len(message.data) > 1:
            number, is_error = divmod(message.data[0], 2)
            if not is_error and number < len(channels):
                await channels[number].receive(message.data[1:])
