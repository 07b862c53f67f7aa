"""The HTTP server below each program: one thread for each connection, HTTP/1.1 with connections kept open.

SIGTERM ends the process at once, since nothing here catches it.
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

LARGEST_BODY: Final = 1 << 20


@dataclass(frozen=True)
class Request:
    """One request. Header names are in lower case; of a header or a query field that comes twice the last value counts."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's words: ("reviews", "0") for "/reviews/0"."""
        return tuple(word for word in self.path.split("/") if word)


@dataclass(frozen=True)
class Reply:
    """One reply."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


App = Callable[[Request], Reply]
Wrap = Callable[[socket.socket], socket.socket]


def say(line: str) -> None:
    """Write a line to the container's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def as_json(content: Any, status: int = 200) -> Reply:  # noqa: ANN401 - whatever JSON can hold
    """`content` as a JSON reply."""
    return Reply(status, json.dumps(content, ensure_ascii=False).encode())


def as_text(text: str, status: int = 200, kind: str = "text/plain") -> Reply:
    """`text` as a reply in UTF-8."""
    return Reply(status, text.encode(), f"{kind}; charset=utf-8")


def not_found() -> Reply:
    """No such path."""
    return as_json({"error": "not found"}, 404)


class Server(socketserver.ThreadingTCPServer):
    """A server for `app` on `host:port`; port 0 takes a free one, which `port` then tells.

    (http.server's own server class asks DNS for its own name first.)
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, app: App, port: int, host: str = "0.0.0.0", wrap: Wrap | None = None) -> None:  # noqa: S104 - a pod's port is for all
        super().__init__((host, port), _handler(app))
        self._wrap = wrap

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, made one of TLS by `wrap`, which must leave the handshake to the thread that reads."""
        connection, who = super().get_request()
        return (self._wrap(connection) if self._wrap else connection), who

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Ignore errors of clients that have disconnected."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handler(app: App) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are sent in one write: two small ones would wait for each other's acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def answer(self) -> None:
            began = time.monotonic()
            length = int(self.headers.get("content-length") or 0)
            if "transfer-encoding" in self.headers or length > LARGEST_BODY:
                self.close_connection = True
                self.write(as_json({"error": "send a body of at most 1 MiB, with its content-length"}, 413))
                return
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            request = Request(self.command, url.path, query, headers, self.rfile.read(length))
            try:
                reply = app(request)
            except Exception:  # noqa: BLE001 - one request's failure must not end the others
                traceback.print_exc()
                reply = as_json({"error": "internal error"}, 500)
            self.write(reply)
            if url.path != "/health":
                milliseconds = (time.monotonic() - began) * 1000
                self.log_message("%s %s %d %.1fms", request.method, self.path, reply.status, milliseconds)

        def write(self, reply: Reply) -> None:
            self.send_response_only(reply.status)
            self.send_header("date", self.date_time_string())
            self.send_header("content-type", reply.kind)
            self.send_header("content-length", str(len(reply.body)))
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - as http.server has it
            say(format % args)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer  # noqa: N815 - as http.server has it

    return Handler


def run(app: App, words: Sequence[str], *, port: int) -> None:
    """Serve until killed, on the port that the first of `words` gives, else on `port`."""
    with Server(app, int(words[0]) if words else port) as server:
        say(f"listening on port {server.port}")
        server.serve_forever()
