"""Sockets of the host's network, for a process that has left it: a socket keeps the network namespace that it was created in.

`serve` runs in a small process that stays in the host's network (the daemon forks it before it enters the cluster's namespaces); inside,
`HostSockets` requests one socket at a time over a Unix socket, and gets it as a file descriptor (SCM_RIGHTS). An answer takes a fraction of
a millisecond, so requests block. The process ends when the last process inside has closed its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Final, NoReturn

_LONGEST: Final = 1024
_ANSWERS_WITHIN: Final = 5.0


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends: one for `HostSockets`, one for `serve`."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def serve(end: socket.socket) -> NoReturn:
    """Create the sockets that are requested on `end` until it closes; then the process ends."""
    with contextlib.suppress(OSError):
        while question := end.recv(_LONGEST):
            made = None
            try:
                made = _make(**json.loads(question))
            except OSError as error:
                end.send(json.dumps({"errno": error.errno or 0, "words": error.strerror or str(error)}).encode())
            else:
                socket.send_fds(end, [b"{}"], [made.fileno()])
            finally:
                if made is not None:
                    made.close()
    os._exit(0)


def _make(kind: str, address: str = "", port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    try:
        if kind == "listening":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            made.listen(1024)
    except OSError:
        made.close()
        raise
    return made


class HostSockets:
    """The side inside. All sockets are non-blocking; each method raises OSError with the host's reason."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(_ANSWERS_WITHIN)
        self._end = end

    def listening(self, address: str, port: int) -> socket.socket:
        """A TCP socket that listens on the host's `address`:`port`."""
        return self._ask(kind="listening", address=address, port=port)

    def tcp(self) -> socket.socket:
        """A TCP socket that is not connected yet."""
        return self._ask(kind="tcp")

    def udp(self) -> socket.socket:
        """A UDP socket that is not connected yet."""
        return self._ask(kind="udp")

    def _ask(self, **question: object) -> socket.socket:
        self._end.send(json.dumps(question).encode())
        answer, descriptors, *_ = socket.recv_fds(self._end, _LONGEST, 1)
        if not descriptors:
            said = json.loads(answer) if answer else {"errno": 0, "words": "the process that makes the host's sockets has ended"}
            raise OSError(said["errno"], said["words"])
        made = socket.socket(fileno=descriptors[0])
        # A pod that inherited it would keep its port in use after the Service is deleted. MSG_CMSG_CLOEXEC is not enough: recv_fds drops
        # the flags.
        made.set_inheritable(False)
        made.setblocking(False)  # noqa: FBT003 - positional only
        return made
