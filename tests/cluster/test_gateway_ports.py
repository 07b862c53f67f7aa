"""Forwarding from the host into the cluster: every byte goes through, whenever it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meshcourse.cluster import gateway_ports
from meshcourse.core.errors import ClusterError


@contextlib.asynccontextmanager
async def forwarded(target: tuple[str, int]) -> AsyncIterator[int]:
    listening = gateway_ports.listen(0, "a test", "--port")
    server = await gateway_ports.forward(listening, target)
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer only when the client has ended its half."""
    writer.write(await reader.read())
    await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def inside() -> AsyncIterator[tuple[str, int]]:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield host, port


def knock(port: int, data: bytes) -> socket.socket:
    """Connect, send and end this half before the listener has had a chance to accept."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    return client


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def listen(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


async def test_bytes_that_came_early_are_kept_and_nothing_stays_open() -> None:
    async with inside() as target, forwarded(target) as port:
        before = open_files()
        clients = [knock(port, f"hello {number}".encode()) for number in range(50)]
        answers = [await asyncio.to_thread(listen, client) for client in clients]
        assert answers == [f"hello {number}".encode() for number in range(50)]
        ends = asyncio.get_running_loop().time() + 10
        while open_files() > before and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)
        assert open_files() <= before, "a connection that both sides have ended is closed"


async def test_much_data_is_whole_and_in_order() -> None:
    sent = bytes(range(256)) * 40_000
    async with inside() as target, forwarded(target) as port:
        answer = await asyncio.to_thread(lambda: listen(knock(port, sent)))
    assert answer == sent


async def test_client_is_refused_when_nothing_listens_inside() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with forwarded(("127.0.0.1", taken.getsockname()[1])) as port:
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(listen, client)


def test_taken_port_is_an_error_that_names_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ClusterError, match=f"127.0.0.1:{port}") as caught:
            gateway_ports.listen(port, "the API server", "--api-port")
    assert "--api-port 0" in caught.value.next
