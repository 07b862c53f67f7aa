"""The one gRPC call of a probe: grpc.health.v1.Health/Check, over plain-text HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
_END_STREAM, _END_HEADERS, _ACK, _PADDED = 0x1, 0x4, 0x1, 0x8
_STREAM = 1
_STATUS = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


async def ask(host: str, port: int, service: str) -> str | None:
    """Call Check; raises OSError or EOFError (asyncio.IncompleteReadError is one) when there is no HTTP/2 server."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request(f"{host}:{port}", service))
        return await _answer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def request(authority: str, service: str) -> bytes:
    """The connection's first bytes: preface, empty settings, headers and the message."""
    name = service.encode()
    message = b"" if not name else b"\x0a" + _varint(len(name)) + name
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": "kube-probe/1.36",
    }
    headers = b"".join(b"\x00" + _text(key) + _text(value) for key, value in fields.items())  # literal, never indexed, no Huffman
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, _STREAM, headers)
        + _frame(_DATA, _END_STREAM, _STREAM, struct.pack(">BI", 0, len(message)) + message)
    )


def status(message: bytes) -> str | None:
    """Read a HealthCheckResponse with its gRPC length prefix."""
    if len(message) < 5:  # noqa: PLR2004 - one flag byte and four of length
        return None
    body = message[5:]
    number = body[1] if len(body) >= 2 and body[0] == 0x08 else 0  # noqa: PLR2004 - field 1, a varint below 128
    return _STATUS[number] if number < len(_STATUS) else str(number)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
    data = b""
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        payload = await reader.readexactly(length)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            return status(data)
        elif stream == _STREAM:
            if kind == _DATA:
                data += payload[1 : len(payload) - payload[0]] if flags & _PADDED and payload else payload
            if kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                return status(data)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    raw = text.encode()
    return _length(len(raw)) + raw


def _length(number: int) -> bytes:
    """Encode an HPACK integer with a 7-bit prefix and no Huffman flag."""
    return bytes((number,)) if number < 0x7F else b"\x7f" + _varint(number - 0x7F)  # noqa: PLR2004 - HPACK's prefix


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))
