"""Forwards connections between the host's network and the cluster's: each one that a socket accepts becomes one on the other side.

A socket keeps the network namespace that it was created in, so one of the host's can accept for a target inside (`forward`), and one inside
for a target of the host's (`forward_each`). Bytes are copied both ways, with flow control: a slow side makes the other wait. A half-closed
side is half-closed on the other side too.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Final

from meshcourse.core.errors import ClusterError

NODE_PORTS: Final = range(30000, 32768)
"""kube-apiserver's --service-node-port-range."""
STATIC_NODE_PORTS: Final = range(30000, 30086)
"""The part of it from which the API server takes no number by itself, so that one chosen here is free in the cluster.
Source: https://kubernetes.io/docs/concepts/services-networking/service/#avoid-nodeport-collisions"""


def listen(port: int, purpose: str, option: str) -> socket.socket:
    """Open 127.0.0.1:`port` (0: any free port).

    Raises ClusterError when the port is in use or not allowed; `option` chooses another.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else str(error)
        raise ClusterError(
            f"127.0.0.1:{port}, the port for {purpose}, cannot be opened.",
            why=reason,
            next=f"meshcourse up ... {option} 0    # any free port; `ss -ltnp 'sport = :{port}'` shows who has it",
        ) from error
    listener.setblocking(False)  # noqa: FBT003 - positional only
    return listener


Way = Callable[[asyncio.Transport], tuple[socket.socket, tuple[str, int]]]
"""The target of an accepted connection: a non-blocking socket that is not connected yet, and its address. May raise OSError."""


def listen_inside(address: str, port: int) -> socket.socket:
    """Open a port of this process's own network. Raises OSError."""
    listener = socket.create_server((address, port), backlog=1024)
    listener.setblocking(False)  # noqa: FBT003 - positional only
    return listener


def listen_on_any(ports: Iterable[int]) -> socket.socket:
    """Open the first of these ports of 127.0.0.1 that is free. Raises ClusterError when none is."""
    last: ClusterError | None = None
    for port in ports:
        try:
            return listen(port, "the ingress gateway", "--ingress-port")
        except ClusterError as error:
            last = error
    assert last is not None  # noqa: S101 - there are ports
    raise last


class _Half(asyncio.Protocol):
    """One side of a connection; what it receives goes to `other`."""

    def __init__(self, other: _Half | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other = other
        self.ended = False
        """Whether this side has ended its half of the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio gives TCP protocols nothing else
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Half-close the other side; when that has ended too, close both (False: asyncio closes, once all is written)."""
        self.ended = True
        peer = self.other.transport if self.other else None
        if peer and not peer.is_closing() and peer.can_write_eof() and not (self.other and self.other.ended):
            peer.write_eof()
            return True
        return False

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        if self.other and self.other.transport:
            self.other.transport.close()


class _Accepted(_Half):
    """A client that was accepted. What it sends before the other side is connected is kept.

    Pausing in connection_made would not be enough: Python 3.11.2, Debian 12's, reads on all the same.
    """

    def __init__(self, way: Way, tasks: set[asyncio.Task[None]]) -> None:
        super().__init__()
        self._way = way
        self._tasks = tasks
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101 - set by the line above
        task = asyncio.create_task(self._connect(self.transport))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
            return
        self._early += data
        if self.transport:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        if self.other is None:
            self.ended = True
            return True
        return super().eof_received()

    async def _connect(self, transport: asyncio.Transport) -> None:
        try:
            connecting, target = self._way(transport)
            inside = await self._connected(connecting, target)
        except OSError:
            # Nothing listens there: the client sees its connection reset, as a closed port behind a router. No linger: RST, not FIN.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            return
        if transport.is_closing():
            if inside.transport:
                inside.transport.close()
            return
        self.other = inside
        if inside.transport:
            inside.transport.write(bytes(self._early))
            if self.ended:
                inside.transport.write_eof()
        self._early.clear()
        transport.resume_reading()

    async def _connected(self, connecting: socket.socket, target: tuple[str, int]) -> _Half:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(10):
                await loop.sock_connect(connecting, target)
            return (await loop.create_connection(lambda: _Half(self), sock=connecting))[1]
        except BaseException:
            connecting.close()
            raise


async def forward(listener: socket.socket, target: tuple[str, int]) -> asyncio.Server:
    """Forward connections to `target`, an address of this process's own network, until the returned server is closed."""

    def way(_: asyncio.Transport) -> tuple[socket.socket, tuple[str, int]]:
        connecting = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connecting.setblocking(False)  # noqa: FBT003 - positional only
        return connecting, target

    return await forward_each(listener, way)


async def forward_each(listener: socket.socket, way: Way) -> asyncio.Server:
    """Forward each connection to the target that `way` returns for it, until the returned server is closed."""
    tasks: set[asyncio.Task[None]] = set()
    return await asyncio.get_running_loop().create_server(lambda: _Accepted(way, tasks), sock=listener, backlog=1024)
