"""Leaving HTTP: a request becomes a websocket, or a SPDY/3.1 connection, with an agreed subprotocol."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from meshcourse.node.streaming import spdy

_LONGEST_MESSAGE = 16 * 1024 * 1024
_WAITING_BYTES = 64 * 1024
_GOODBYE = 5.0  # seconds for a client to answer the closing of a websocket; the Python client never does


def is_websocket(request: web.Request) -> bool:
    """Whether the client asks for a websocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def offered(request: web.Request) -> list[str]:
    """The subprotocols that the client offers, in its order of preference. Each is the name of one in Kubernetes."""
    header = "Sec-WebSocket-Protocol" if is_websocket(request) else "X-Stream-Protocol-Version"
    return [name.strip() for value in request.headers.getall(header, []) for name in value.split(",") if name.strip()]


def agree(request: web.Request, known: Sequence[str]) -> str:
    """Choose the first subprotocol of the client that is known; "" when it offers none. Raises HTTPForbidden."""
    names = offered(request)
    chosen = next((name for name in names if name in known), None)
    if chosen is not None or not names:
        return chosen or ""
    raise web.HTTPForbidden(text=f"unable to upgrade: unable to negotiate protocol: client supports {names}, server supports {list(known)}")


async def websocket(request: web.Request, protocol: str) -> web.WebSocketResponse:
    """Turn the request into a websocket that speaks `protocol`."""
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), timeout=_GOODBYE, max_msg_size=_LONGEST_MESSAGE, compress=False
    )
    await socket.prepare(request)
    return socket


async def spdy_connection(request: web.Request, protocol: str) -> tuple[web.StreamResponse, spdy.Connection]:
    """Turn the request into a SPDY/3.1 connection that speaks `protocol`. Raises HTTPBadRequest."""
    if request.headers.get("Upgrade", "").upper() != "SPDY/3.1":
        raise web.HTTPBadRequest(text="unable to upgrade: the request asks neither for a websocket nor for SPDY/3.1")
    transport = request.transport
    if transport is None:
        msg = "connection lost"
        raise ConnectionResetError(msg)
    received = _Received(transport)
    # Before the answer: from the moment that the client has it, its data is no longer HTTP.
    request.protocol.set_parser(received)  # type: ignore[arg-type]  # it is annotated for websockets, and calls two methods
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()  # there is no way back to HTTP
    await response.prepare(request)
    return response, spdy.Connection(_Raw(response, received))


def tunnel(socket: web.WebSocketResponse) -> spdy.Connection:
    """Speak SPDY/3.1 inside a websocket; the boundaries of messages have no meaning."""
    return spdy.Connection(_Tunnel(socket))


class _Received:
    """Called by aiohttp with the data of a connection that has left HTTP."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.reader = asyncio.StreamReader(limit=_WAITING_BYTES)
        self.reader.set_transport(transport)  # pauses it while there is no reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self.reader.feed_eof()


class _Raw:
    def __init__(self, response: web.StreamResponse, received: _Received) -> None:
        self._response = response
        self._reader = received.reader

    async def read(self) -> bytes:
        return await self._reader.read(_WAITING_BYTES)

    async def write(self, data: bytes) -> None:
        await self._response.write(data)


class _Tunnel:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data:
                return bytes(message.data)
        return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)
