"""A gRPC server for one method that takes one message and gives one: all that Envoy's external authorization needs.

HTTP/2 without a library: a request's headers are not read (whatever is called is the one method), so no HPACK decoder is needed; replies
use literal headers. Source: RFC 9113, and gRPC's PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import traceback
from collections.abc import Callable
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
INTERNAL: Final = 13
LARGEST_FRAME: Final = 16_384
Method = Callable[[bytes], bytes]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """A header that is in no table, without Huffman coding; both parts below 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def reply(stream: int, message: bytes, status: int = 0) -> bytes:
    """All frames of an answer: headers, the message in its gRPC frame, trailers."""
    head = b"\x88" + literal("content-type", "application/grpc")  # 0x88 is `:status: 200`
    body = b"" if status else b"\0" + len(message).to_bytes(4, "big") + message
    data = [frame(DATA, 0, stream, body[at : at + LARGEST_FRAME]) for at in range(0, len(body), LARGEST_FRAME)]
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, stream, literal("grpc-status", str(status)))
    return frame(HEADERS, END_HEADERS, stream, head) + b"".join(data) + trailers


class _Handler(socketserver.BaseRequestHandler):
    server: Server
    request: socket.socket

    def handle(self) -> None:
        if self._read(len(PREFACE)) != PREFACE:
            return
        self.request.sendall(frame(SETTINGS, 0, 0))
        calls: dict[int, bytearray] = {}
        while head := self._read(9):
            payload = self._read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.request.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == HEADERS:
                calls[stream] = bytearray()
            elif kind == RST_STREAM:
                calls.pop(stream, None)
            elif kind == GOAWAY:
                return
            elif kind == DATA and stream in calls:
                self._take(calls, stream, flags, payload)

    def _take(self, calls: dict[int, bytearray], stream: int, flags: int, payload: bytes) -> None:
        if payload:
            self.request.sendall(b"".join(frame(WINDOW_UPDATE, 0, each, len(payload).to_bytes(4, "big")) for each in (0, stream)))
        calls[stream] += payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
        if flags & END_STREAM:
            message = bytes(calls.pop(stream)[5:])
            try:
                answer = reply(stream, self.server.method(message))
            except Exception:  # noqa: BLE001 - one call's failure must not end the others
                traceback.print_exc()
                answer = reply(stream, b"", INTERNAL)
            self.request.sendall(answer)

    def _read(self, size: int) -> bytes:
        got = b""
        while len(got) < size and (more := self.request.recv(size - len(got))):
            got += more
        return got if len(got) == size else b""


class Server(socketserver.ThreadingTCPServer):
    """A server for `method` on `host:port`; port 0 takes a free one."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, method: Method, port: int, host: str = "0.0.0.0") -> None:  # noqa: S104 - a pod's port is for the whole cluster
        self.method = method
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of clients that have disconnected."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # socketserver's own types
