"""A stand-in for Bookinfo's databases (mongodb, mysqldb): two stars, by a line of text. `python3 -m apps.ratings_database 27017`.

It speaks neither MongoDB's nor MySQL's protocol. It answers each line `ratings NUMBER` with one line of JSON; only our own ratings does so.
"""

from __future__ import annotations

import json
import socketserver
import sys
from collections.abc import Sequence
from typing import Final

from . import serving, tcp_echo

STARS: Final = {"Reviewer1": 5, "Reviewer2": 4}


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            serving.say(f"asked: {line.decode(errors='replace').rstrip()}")
            self.wfile.write(json.dumps(STARS if line.startswith(b"ratings ") else {"error": "not understood"}).encode() + b"\n")


def server(port: int, host: str = "0.0.0.0") -> socketserver.BaseServer:  # noqa: S104 - a pod's port is for the whole cluster
    """The server; port 0 takes a free one."""
    return tcp_echo.Server((host, port), _Answer)


def main(words: Sequence[str]) -> int:
    """Serve until killed."""
    port = int(words[0])
    serving.say(f"meshcourse's stand-in for Bookinfo's database listens on port {port}; it speaks no database's protocol")
    server(port).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
