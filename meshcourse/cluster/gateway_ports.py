"""Doors from the host's loopback into the cluster's network namespace.

A side that is slow makes the other wait (transport flow control); a half-closed side is half-closed on.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct

from meshcourse.core.errors import ClusterError


def listen(port: int, purpose: str, option: str) -> socket.socket:
    """Open 127.0.0.1:`port` (0: any free port).

    Raises:
        ClusterError: the port is taken or not allowed; `option` is what chooses another.
    """
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(("127.0.0.1", port))
        door.listen(1024)
    except OSError as error:
        door.close()
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else str(error)
        raise ClusterError(
            f"127.0.0.1:{port}, the port for {purpose}, cannot be opened.",
            why=reason,
            next=f"meshcourse up ... {option} 0    # any free port; `ss -ltnp 'sport = :{port}'` shows who has it",
        ) from error
    door.setblocking(False)  # noqa: FBT003 - positional only
    return door


class _Half(asyncio.Protocol):
    """One side of a connection; what it receives goes to `other`."""

    def __init__(self, other: _Half | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other = other
        self.ended = False
        """Whether this side has said that it sends no more."""

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


class _Outside(_Half):
    """A client on the host. What it sends before the inside is connected is kept.

    Pausing in connection_made would not be enough: Python 3.11.2, Debian 12's, reads on all the same.
    """

    def __init__(self, target: tuple[str, int], tasks: set[asyncio.Task[None]]) -> None:
        super().__init__()
        self._target = target
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
            async with asyncio.timeout(10):
                _, inside = await asyncio.get_running_loop().create_connection(lambda: _Half(self), *self._target)
        except OSError:
            # Nothing listens inside: the client sees its connection reset, as a closed port behind a router. No linger: RST, not FIN.
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


async def open_door(door: socket.socket, target: tuple[str, int]) -> asyncio.Server:
    """Serve `door` into `target` until the returned server is closed."""
    tasks: set[asyncio.Task[None]] = set()
    return await asyncio.get_running_loop().create_server(lambda: _Outside(target, tasks), sock=door, backlog=1024)
