"""Istio's tcp-echo-server: each line comes back with a prefix. `python3 -m apps.tcp_echo 9000,9001 hello`."""

from __future__ import annotations

import socketserver
import sys
import threading
from collections.abc import Sequence

from . import serving

WORDS = 2


def handler(prefix: str) -> type[socketserver.StreamRequestHandler]:
    """The handler of a connection: lines are echoed until it ends."""

    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                if not line.endswith(b"\n"):
                    return
                answer = prefix.encode() + b" " + line
                serving.say(f"request: {line.decode(errors='replace').rstrip()}")
                serving.say(f"response: {answer.decode(errors='replace').rstrip()}")
                self.wfile.write(answer)

    return Echo


class Server(socketserver.ThreadingTCPServer):
    """One port. Port 0 takes a free one."""

    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of clients that have disconnected."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # socketserver's own types


def main(words: Sequence[str]) -> int:
    """Serve until killed."""
    if len(words) != WORDS:
        serving.say("usage: tcp-echo PORT[,PORT...] PREFIX")
        return 1
    servers = [Server(("0.0.0.0", int(port)), handler(words[1])) for port in words[0].split(",")]  # noqa: S104 - a pod's port is for all
    for server in servers:
        serving.say(f"listening on [::]:{server.server_address[1]}, prefix: {words[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
