"""An Internet of one machine, for the tests of `--egress`: a web server and a name server in a network namespace of their own.

Started as `unshare --net --mount python outside_world.py FOLDER`; it writes `ready` and serves until its standard input ends.
"""

from __future__ import annotations

import http.server
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ADDRESS = "203.0.113.7"  # of TEST-NET-3, which is nobody's
NAME = b"\x04shop\x07example\x03com\x00"


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"outside, asked for {self.headers['host']}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


def answer(question: bytes) -> bytes:
    """The address of shop.example.com, and no other name."""
    end = question.index(b"\0", 12) + 5
    known = question[12:end].lower().startswith(NAME) and question[end - 4 : end] == b"\0\x01\0\x01"
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04" + socket.inet_aton(ADDRESS) if known else b""
    return (
        question[:2]
        + (b"\x81\x80" if known else b"\x81\x83")
        + b"\0\x01"
        + (b"\0\x01" if known else b"\0\0")
        + bytes(4)
        + question[12:end]
        + record
    )


class ByUdp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, back = self.request
        back.sendto(answer(data), self.client_address)


class ByTcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        reply = answer(self.rfile.read(int.from_bytes(self.rfile.read(2), "big")))
        self.wfile.write(len(reply).to_bytes(2, "big") + reply)


def main(folder: Path) -> None:
    for words in (["link", "set", "lo", "up"], ["addr", "add", f"{ADDRESS}/32", "dev", "lo"]):
        subprocess.run(["ip", *words], check=True)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", str(folder / "resolv.conf"), "/etc/resolv.conf"], check=True)
    socketserver.TCPServer.allow_reuse_address = True
    for server in (
        http.server.ThreadingHTTPServer((ADDRESS, 80), Web),
        http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Web),
        socketserver.ThreadingUDPServer(("127.0.0.1", 53), ByUdp),
        socketserver.ThreadingTCPServer(("127.0.0.1", 53), ByTcp),
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)  # noqa: T201 - to the test
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
