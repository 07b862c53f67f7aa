"""Istio's test application (testing/app): returns the request as text. `python3 -m apps.echo --port 8080 --tcp 9090 --version v1`.

HTTP on each --port, TCP on each --tcp, HTTPS on a port that --tls names as well. A port that --grpc or --xds-grpc-server names takes
connections, so that probes pass, and answers nothing: this stand-in speaks no gRPC, and says so at its start. Other flags are ignored.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from . import serving, tcp_echo
from .serving import App, Reply, Request

PORTS: Final = ("port", "tcp", "tls", "mtls", "grpc", "xds-grpc-server")
ALIASES: Final = {"http": "port"}


@dataclass
class Flags:
    """What the command line asks for: ports by kind, and single values."""

    ports: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def flags(words: Sequence[str]) -> Flags:
    """Read `--name value` and `--name=value`.

    >>> flags(["--port", "80", "--port=81", "--version", "v1"])
    Flags(ports={'port': [80, 81]}, values={'version': 'v1'})
    """
    found = Flags()
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).lstrip("-").partition("=")
        if not equals and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        name = ALIASES.get(name, name)
        if name in PORTS and value.isdigit():
            found.ports.setdefault(name, []).append(int(value))
        else:
            found.values[name] = value
    return found


def app(version: str, port: int) -> App:
    """HTTP on one port."""

    def answer(request: Request) -> Reply:
        lines = [f"ServiceVersion={version}", f"ServicePort={port}", f"Host={request.headers.get('host', '')}", f"URL={request.path}"]
        lines += [f"Method={request.method}", "Proto=HTTP/1.1"]
        lines += [f"RequestHeader={name.title()}:{value}" for name, value in sorted(request.headers.items()) if name != "host"]
        return serving.as_text("\n".join([*lines, f"Hostname={socket.gethostname()}", ""]), _status(request))

    return answer


def _status(request: Request) -> int:
    """`?codes=503` selects a status."""
    wanted = request.query.get("codes", "200").partition(":")[0]
    return int(wanted) if wanted.isdigit() and 200 <= int(wanted) <= 599 else 200  # noqa: PLR2004 - HTTP's


class _Silent(socketserver.BaseRequestHandler):
    """Accepts a connection and waits for its end."""

    def handle(self) -> None:
        while self.request.recv(4096):
            pass


def main(words: Sequence[str]) -> int:
    """Serve until killed."""
    asked = flags(words)
    version = asked.values.get("version", "")
    secure = {*asked.ports.get("tls", ()), *asked.ports.get("mtls", ())}
    servers: list[socketserver.BaseServer] = []
    for port in asked.ports.get("port", [] if asked.ports else [8080]):
        wrap = None
        if port in secure:
            from . import tls  # noqa: PLC0415 - see there

            wrap = tls.wrapping(asked.values.get("crt", ""), asked.values.get("key", ""), asked.values.get("ca", ""))
        servers.append(serving.Server(app(version, port), port, wrap=wrap))
    servers += [tcp_echo.Server(("0.0.0.0", port), tcp_echo.handler("hello")) for port in asked.ports.get("tcp", ())]  # noqa: S104
    for port in (*asked.ports.get("grpc", ()), *asked.ports.get("xds-grpc-server", ())):
        serving.say(f"port {port}: meshcourse's stand-in for Istio's testing/app speaks no gRPC: it takes connections and answers nothing")
        servers.append(tcp_echo.Server(("0.0.0.0", port), _Silent))  # noqa: S104
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    serving.say(f"listening on {', '.join(str(port) for kind in asked.ports.values() for port in kind)}")
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
