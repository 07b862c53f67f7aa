"""A stand-in for Kubernetes' test image agnhost: `python3 -m apps.agnhost netexec --http-port=8080`.

It has pause, netexec (HTTP: /, /hostname, /echo?msg=, /header?key=, /healthz, /exit?code=, /shutdown; UDP: hostname, echo), serve-hostname
and connect; any other subcommand ends with a message that names these. The real one: https://pkg.go.dev/k8s.io/kubernetes/test/images/agnhost.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from . import echo, serving
from .serving import App, Reply, Request


def app(end: Callable[[int], NoReturn]) -> App:
    """Netexec by HTTP."""

    def answer(request: Request) -> Reply:
        texts: dict[str, Callable[[], str]] = {
            "/": lambda: f"NOW: {dt.datetime.now(dt.UTC)}",
            "/hostname": socket.gethostname,
            "/hostName": socket.gethostname,
            "/echo": lambda: request.query.get("msg", ""),
            "/header": lambda: request.headers.get(request.query.get("key", "").lower(), ""),
            "/healthz": lambda: "",
        }
        if request.path in {"/exit", "/shutdown"}:
            code = request.query.get("code", "0")
            end(int(code) if code.isdigit() else 1)
        if request.path not in texts:
            return serving.as_text("404 page not found\n", 404)
        wanted = request.query.get("code", "200")
        return serving.as_text(texts[request.path](), int(wanted) if wanted.isdigit() else 200)

    return answer


class _HostName(socketserver.BaseRequestHandler):
    """UDP: `hostname` asks for the name, `echo TEXT` for the text."""

    def handle(self) -> None:
        data, back = self.request
        text = data.decode(errors="replace").strip()
        if text.lower() == "hostname":
            back.sendto(socket.gethostname().encode(), self.client_address)
        elif text.startswith("echo "):
            back.sendto(text.removeprefix("echo ").encode(), self.client_address)


def netexec(words: Sequence[str]) -> int:
    """Serve HTTP and UDP."""
    given = echo.flags(words).values
    udp = socketserver.ThreadingUDPServer(("0.0.0.0", int(given.get("udp-port") or 8081)), _HostName)  # noqa: S104 - a pod's port is for all
    threading.Thread(target=udp.serve_forever, daemon=True).start()
    serving.run(app(os._exit), [], port=int(given.get("http-port") or 8080))
    return 0


def serve_hostname(words: Sequence[str]) -> int:
    """The host's name to every request."""
    given = echo.flags(words)
    port = (given.ports.get("port") or [9376])[0]
    serving.run(lambda _: serving.as_text(socket.gethostname()), [], port=port)
    return 0


def pause(_: Sequence[str]) -> int:
    """Wait for a signal."""
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


def connect(words: Sequence[str]) -> int:
    """Connect to HOST:PORT; TIMEOUT, REFUSED, DNS or OTHER on the error output, and 1, when that fails."""
    seconds = float(echo.flags(words).values.get("timeout", "0").rstrip("s") or 0) or None
    host, _, port = next(word for word in words if ":" in word).rpartition(":")
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError as error:
        kinds = ((TimeoutError, "TIMEOUT"), (ConnectionRefusedError, "REFUSED"), (socket.gaierror, "DNS"))
        sys.stderr.write(next((word for kind, word in kinds if isinstance(error, kind)), f"OTHER: {error}") + "\n")
        return 1
    return 0


COMMANDS: Final = {"pause": pause, "netexec": netexec, "serve-hostname": serve_hostname, "connect": connect}


def main(words: Sequence[str]) -> int:
    """Run the subcommand."""
    name = words[0] if words else "pause"
    if name not in COMMANDS:
        sys.stderr.write(f"agnhost {name}: this is meshcourse's stand-in for agnhost, which has only {', '.join(COMMANDS)}\n")
        return 2
    return COMMANDS[name](words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
