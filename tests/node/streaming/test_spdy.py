"""SPDY/3.1: frames as in the draft, and port-forward and exec over them as an older kubectl sends them."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from machine import Kubelet

from meshcourse.node.streaming import spdy

TUNNEL = "SPDY/3.1+portforward.k8s.io"


class Pipe:
    """A transport whose other end is a test."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.outgoing = bytearray()
        self.sent = asyncio.Event()

    async def read(self) -> bytes:
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        self.outgoing += data
        self.sent.set()


def control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


def data(number: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", number, flags << 24 | len(payload)) + payload


def syn_stream(number: int, packer: spdy.HeaderPacker, headers: Mapping[str, str], flags: int = 0) -> bytes:
    return control(spdy.SYN_STREAM, struct.pack(">IIBB", number, 0, 0, 0) + packer.pack(headers), flags)


def test_headers_come_out_as_they_went_in_block_after_block() -> None:
    packer, unpacker = spdy.HeaderPacker(), spdy.HeaderUnpacker()
    for headers in ({}, {"streamtype": "data", "port": "80"}, {"a": ""}, {}, {"streamtype": "data", "w": "ä" * 5000, "port": "81"}):
        assert unpacker.unpack(packer.pack(headers)) == headers


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    """Its length and Adler-32 are in every SPDY/3 stream: zlib refuses another dictionary."""
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


@pytest.mark.parametrize("garbage", [b"", b"garbage", spdy.HeaderPacker().pack({"a": "b"})[:-9]])
def test_headers_that_cannot_be_read_are_a_protocol_error(garbage: bytes) -> None:
    with pytest.raises(spdy.ProtocolError):
        spdy.HeaderUnpacker().unpack(garbage)


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Pipe, list[spdy.Stream], asyncio.Task[None]]]:
    pipe, streams = Pipe(), list[spdy.Stream]()

    async def serve() -> None:
        async for stream in spdy.Connection(pipe).streams():
            streams.append(stream)

    task = asyncio.ensure_future(serve())
    async with asyncio.timeout(10):
        yield pipe, streams, task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_is_accepted_and_carries_both_directions_each_to_its_end() -> None:
    async with served() as (pipe, streams, task):
        packer = spdy.HeaderPacker()
        whole = syn_stream(1, packer, {"streamtype": "data"}) + data(1, b"hello") + data(1, b"", spdy.FIN)
        for byte in whole:  # a frame may arrive in any pieces
            pipe.incoming.put_nowait(bytes((byte,)))
        pipe.incoming.put_nowait(b"")
        await task
        (stream,) = streams
        assert stream.headers == {"streamtype": "data"}
        reply, rest = pipe.outgoing[:8], pipe.outgoing[8:]
        assert reply[:4] == bytes.fromhex("80030002")
        assert struct.unpack_from(">I", rest)[0] == 1


async def test_what_was_received_before_the_end_of_a_direction_can_be_read() -> None:
    async with served() as (pipe, streams, _):
        packer = spdy.HeaderPacker()
        pipe.incoming.put_nowait(syn_stream(1, packer, {}) + data(1, b"one") + data(1, b"two", spdy.FIN))
        await pipe.sent.wait()
        (stream,) = streams
        assert [await stream.read() for _ in range(4)] == [b"one", b"two", b"", b""]
        await stream.write(b"still open")
        await stream.close()
        await stream.write(b"dropped")
        assert pipe.outgoing.endswith(data(1, b"still open") + data(1, b"", spdy.FIN))


async def test_a_reset_ends_both_directions() -> None:
    async with served() as (pipe, streams, _):
        pipe.incoming.put_nowait(syn_stream(1, spdy.HeaderPacker(), {}) + control(spdy.RST_STREAM, struct.pack(">II", 1, 5)))
        await pipe.sent.wait()
        (stream,) = streams
        await stream.gone.wait()
        sent = bytes(pipe.outgoing)
        assert await stream.read() == b""
        await stream.write(b"dropped")
        await stream.close()
        assert pipe.outgoing == sent


async def test_a_ping_of_the_client_is_answered_and_an_answer_is_not() -> None:
    async with served() as (pipe, _, task):
        pipe.incoming.put_nowait(control(spdy.PING, struct.pack(">I", 7)) + control(spdy.PING, struct.pack(">I", 2)))
        pipe.incoming.put_nowait(control(spdy.GOAWAY, struct.pack(">II", 0, 0)))
        await task
        assert pipe.outgoing == control(spdy.PING, struct.pack(">I", 7))


@pytest.mark.parametrize("garbage", [b"\x80\x02\x00\x01\x00\x00\x00\x00", control(spdy.SYN_STREAM, b""), control(spdy.PING, b"12")])
async def test_what_is_not_spdy_3_is_a_protocol_error(garbage: bytes) -> None:
    async with served() as (pipe, _, task):
        pipe.incoming.put_nowait(garbage)
        with pytest.raises(spdy.ProtocolError):
            await task


async def test_a_stream_that_nobody_reads_any_more_does_not_stop_the_others() -> None:
    async with served() as (pipe, streams, _):
        packer = spdy.HeaderPacker()
        pipe.incoming.put_nowait(syn_stream(1, packer, {}))
        await pipe.sent.wait()
        for _ in range(1000):
            pipe.incoming.put_nowait(data(1, b"unread"))
        pipe.incoming.put_nowait(syn_stream(3, packer, {}))
        while not pipe.incoming.qsize() < 1000:  # noqa: ASYNC110 - until the connection has begun to read
            await asyncio.sleep(0)
        streams[0].ignore()
        while len(streams) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert streams[1].number == 3


@asynccontextmanager
async def tunnelled(kubelet: Kubelet) -> AsyncIterator[tuple[ClientWebSocketResponse, spdy.HeaderPacker]]:
    async with kubelet.session.ws_connect(kubelet.url + "/portForward/default/pod", protocols=(TUNNEL,)) as socket:
        assert socket.protocol == TUNNEL
        yield socket, spdy.HeaderPacker()


async def frames(socket: ClientWebSocketResponse) -> AsyncIterator[tuple[int, int, bytes]]:
    """Stream number (or control word), flags, payload."""
    buffer = b""
    async for message in socket:
        assert message.type is WSMsgType.BINARY
        buffer += message.data
        while len(buffer) >= 8:
            first, second = struct.unpack_from(">II", buffer)
            length = second & 0xFF_FFFF
            if len(buffer) < 8 + length:
                break
            yield first, second >> 24, buffer[8 : 8 + length]
            buffer = buffer[8 + length :]


async def test_port_forward_in_a_tunnel_carries_a_connection(kubelet: Kubelet) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server, tunnelled(kubelet) as (socket, packer):
        port = str(server.sockets[0].getsockname()[1])
        headers = {"port": port, "requestid": "0"}
        await socket.send_bytes(syn_stream(1, packer, {**headers, "streamtype": "error"}, spdy.FIN))
        await socket.send_bytes(syn_stream(3, packer, {**headers, "streamtype": "data"}))
        await socket.send_bytes(data(3, b"hello ") + data(3, b"there", spdy.FIN))
        received, ended = b"", set[int]()
        async with asyncio.timeout(10):
            async for number, flags, payload in frames(socket):
                if number == 3:
                    received += payload
                if flags & spdy.FIN:
                    ended.add(number)
                if ended == {1, 3}:
                    break
        assert received == b"HELLO THERE"


async def test_port_forward_to_a_closed_port_is_said_on_the_error_stream(kubelet: Kubelet) -> None:
    async with tunnelled(kubelet) as (socket, packer):
        for number, kind in ((1, "error"), (3, "data")):
            await socket.send_bytes(syn_stream(number, packer, {"port": "1", "requestid": "0", "streamtype": kind}))
        async with asyncio.timeout(10):
            text = next(iter([payload async for number, _, payload in first(frames(socket), 1)]))
        assert text.decode() == "error forwarding port 1 to pod: failed to connect to 127.0.0.1:1 inside the pod: connection refused"


async def first(source: AsyncIterator[tuple[int, int, bytes]], wanted: int) -> AsyncIterator[tuple[int, int, bytes]]:
    async for frame in source:
        if frame[0] == wanted:
            yield frame
            return


@pytest.mark.parametrize("headers", [{"streamtype": "data", "port": "0"}, {"streamtype": "data"}, {"streamtype": "other", "port": "80"}])
async def test_a_stream_that_makes_no_sense_is_reset(kubelet: Kubelet, headers: dict[str, str]) -> None:
    async with tunnelled(kubelet) as (socket, packer):
        await socket.send_bytes(syn_stream(1, packer, headers))
        async with asyncio.timeout(10):
            frame = next(iter([frame async for frame in first(frames(socket), 0x8003_0003)]))
        assert struct.unpack(">II", frame[2]) == (1, spdy.REFUSED)


async def test_exec_over_raw_spdy(kubelet: Kubelet) -> None:
    """What kubectl before 1.30 does: POST with `Upgrade: SPDY/3.1`, then frames on the bare connection."""
    tls = kubelet.tls
    host, port = kubelet.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        writer.write(
            b"POST /exec/default/pod/main?command=sh&command=-c&command=cat%3Bexit+3&input=1&output=1&error=1 HTTP/1.1\r\n"
            b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
            b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n\r\n"
        )
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in head
            packer = spdy.HeaderPacker()
            for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")):
                writer.write(syn_stream(number, packer, {"streamtype": kind}))
            writer.write(data(3, b"typed", spdy.FIN))
            received: dict[int, bytes] = {}
            ended = set[int]()
            while ended < {1, 3, 5, 7}:
                first, second = struct.unpack(">II", await reader.readexactly(8))
                payload = await reader.readexactly(second & 0xFF_FFFF)
                received[first] = received.get(first, b"") + payload
                ended |= {first} if second >> 24 & spdy.FIN else set()
        assert received[5] == b"typed"
        assert json.loads(received[1])["details"]["causes"][0]["message"] == "3"
    finally:
        writer.close()
