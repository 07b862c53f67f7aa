"""SPDY/3.1, the part that a kubelet uses: many two-way streams over one connection, opened by the client."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY, HEADERS = 1, 2, 3, 6, 7, 8
FIN = 0x01
PROTOCOL_ERROR, REFUSED, CANCEL = 1, 3, 5
_CONTROL = 0x8003_0000  # control bit and version 3
_PIECE = 32 * 1024
_LONGEST_HEADERS = 64 * 1024
_WAITING_PIECES = 64

_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization
cache-control connection content-base content-encoding content-language content-length content-location content-md5
content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK
version HTTP/1.1 url public set-cookie keep-alive origin
"""
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information"
    "204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error"
    "501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, "
    "Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


DICTIONARY = b"".join(_string(word.replace("_", " ").encode()) for word in _WORDS.split()) + _REST.encode()


class ProtocolError(Exception):
    """The other side does not speak SPDY/3.1."""


class HeaderPacker:
    """Header blocks of one direction; the compression state continues from frame to frame."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(zdict=DICTIONARY)

    def pack(self, headers: Mapping[str, str]) -> bytes:
        """Compress one block."""
        pairs = b"".join(_string(name.lower().encode()) + _string(value.encode()) for name, value in headers.items())
        block = struct.pack(">I", len(headers)) + pairs
        return self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class HeaderUnpacker:
    """The other side of a `HeaderPacker`."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)

    def unpack(self, data: bytes) -> dict[str, str]:
        """Decompress one block. Raises ProtocolError."""
        try:
            block = self._decompressor.decompress(data, _LONGEST_HEADERS)
            count, position = struct.unpack_from(">I", block)[0], 4
            headers: list[str] = []
            for _ in range(2 * count):
                (length,) = struct.unpack_from(">I", block, position)
                headers.append(block[position + 4 : position + 4 + length].decode())
                position += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            msg = f"unreadable headers: {error}"
            raise ProtocolError(msg) from error
        return dict(zip(headers[::2], headers[1::2], strict=True))


class Transport(Protocol):
    """Transport for the frames."""

    async def read(self) -> bytes:
        """Some bytes; none at the end."""

    async def write(self, data: bytes) -> None:
        """Send, waiting while the other side is slow. Raises ConnectionError when it has disconnected."""


class Stream:
    """One two-way stream. Each direction is closed separately."""

    def __init__(self, connection: Connection, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self.sending = True
        self.receiving = True
        self.gone = asyncio.Event()  # reset, or lost with its connection
        self._connection = connection
        self._received: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_PIECES)
        self._at_end = False

    async def read(self) -> bytes:
        """Some bytes; none once the client has closed its direction, or has disconnected."""
        if self._at_end:
            return b""
        data = await self._received.get()
        self._at_end = not data
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes. They are dropped when the stream has been reset."""
        for start in range(0, len(data), _PIECE):
            if self.sending:
                await self._connection.send_data(self, data[start : start + _PIECE])

    async def close(self) -> None:
        """Send nothing more."""
        if self.sending:
            self.sending = False
            await self._connection.send_data(self, b"", flags=FIN)

    async def reset(self, status: int = CANCEL) -> None:
        """End both directions at once."""
        self.abandon()
        await self._connection.send_control(RST_STREAM, struct.pack(">II", self.number, status))

    def ignore(self) -> None:
        """Stop receiving; a reader gets the end. Data that is not read must not block the connection."""
        self.receiving = False
        while not self._received.empty():
            self._received.get_nowait()
        self._received.put_nowait(b"")

    def abandon(self) -> None:
        """Neither send nor receive from now on."""
        self.sending = False
        self.gone.set()
        self.ignore()

    async def receive(self, data: bytes, flags: int) -> None:
        """Add data from the client (called by the connection)."""
        if data and self.receiving:
            await self._received.put(data)
        if flags & FIN and self.receiving:
            self.receiving = False
            await self._received.put(b"")


class Connection:
    """The server's end of a connection. `async for stream in connection.streams()` drives it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._streams: dict[int, Stream] = {}
        self._packer = HeaderPacker()
        self._unpacker = HeaderUnpacker()
        self._sending = asyncio.Lock()
        self._pings = 0

    async def streams(self) -> AsyncIterator[Stream]:
        """Yield every stream that the client opens, already accepted, until it disconnects. Raises ProtocolError.

        Frames are read only while the caller waits for the next stream.
        """
        try:
            while frame := await self._frame():
                first, flags, payload = frame
                if not first & 0x8000_0000:
                    await self._received_data(first, flags, payload)
                elif first & 0x7FFF_0000 != _CONTROL & 0x7FFF_0000:
                    msg = "not SPDY version 3"
                    raise ProtocolError(msg)
                elif first & 0xFFFF == SYN_STREAM:
                    yield await self._opened(flags, payload)
                elif first & 0xFFFF == GOAWAY:
                    return
                else:
                    await self._received_control(first & 0xFFFF, payload)
        except struct.error as error:
            msg = "frame too short"
            raise ProtocolError(msg) from error
        finally:
            for stream in self._streams.values():
                stream.abandon()
            self._streams.clear()

    async def ping(self) -> None:
        """Send a ping; writing to a lost connection raises an error."""
        self._pings += 2  # even: the server's
        await self.send_control(PING, struct.pack(">I", self._pings))

    async def send_data(self, stream: Stream, data: bytes, *, flags: int = 0) -> None:
        """Send a data frame (called by streams)."""
        async with self._sending:
            await self._transport.write(struct.pack(">II", stream.number, flags << 24 | len(data)) + data)
        self._forget(stream)

    async def send_control(self, kind: int, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a control frame, its headers compressed in the order of sending."""
        async with self._sending:
            if headers is not None:
                payload += self._packer.pack(headers)
            await self._transport.write(struct.pack(">II", _CONTROL | kind, len(payload)) + payload)

    async def _opened(self, flags: int, payload: bytes) -> Stream:
        number = struct.unpack_from(">I", payload)[0] & 0x7FFF_FFFF
        stream = Stream(self, number, self._unpacker.unpack(payload[10:]))
        self._streams[number] = stream
        await self.send_control(SYN_REPLY, struct.pack(">I", number), {})
        await stream.receive(b"", flags)
        return stream

    async def _received_data(self, number: int, flags: int, data: bytes) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            await stream.receive(data, flags)
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        if not stream.sending and not stream.receiving:
            self._streams.pop(stream.number, None)

    async def _received_control(self, kind: int, payload: bytes) -> None:
        if kind == PING and struct.unpack(">I", payload)[0] % 2:  # odd: the client's
            await self.send_control(PING, payload)
        elif kind == RST_STREAM:
            stream = self._streams.pop(struct.unpack_from(">I", payload)[0], None)
            if stream is not None:
                stream.abandon()
        elif kind == HEADERS:
            self._unpacker.unpack(payload[4:])  # unused, but the compression state continues from here

    async def _frame(self) -> tuple[int, int, bytes] | None:
        head = await self._exactly(8)
        if head is None:
            return None
        first, second = struct.unpack(">II", head)
        payload = await self._exactly(second & 0xFF_FFFF)
        return None if payload is None else (first, second >> 24, payload)

    async def _exactly(self, length: int) -> bytes | None:
        while len(self._buffer) < length:
            data = await self._transport.read()
            if not data:
                return None
            self._buffer += data
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken
