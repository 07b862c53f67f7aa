"""A pod's open TCP connections, from the kernel's table of its network namespace.

The table is the pod's, so any container shows the connections of all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from meshcourse.kube import commands
from meshcourse.kube.connection import Connection

_ESTABLISHED: Final = "01"
_V4: Final = 8
_WORD: Final = 8


@dataclass(frozen=True)
class Socket:
    """One established connection, as the pod sees it."""

    local: str
    local_port: int
    remote: str
    remote_port: int


def of(connection: Connection, namespace: str, pod: str, container: str) -> tuple[Socket, ...]:
    """The pod's established connections; none when its image has no `cat`, or exec fails."""
    words = ["kubectl", "-n", namespace, "exec", pod, "-c", container, "--", "cat", "/proc/net/tcp", "/proc/net/tcp6"]
    return tuple(parse(commands.run(connection, words, timeout=30.0).stdout.splitlines()))


def parse(lines: Iterable[str]) -> Iterator[Socket]:
    """The established connections in lines of /proc/net/tcp or tcp6, loopback left out."""
    for line in lines:
        fields = line.split()
        if len(fields) < 4 or fields[3] != _ESTABLISHED or ":" not in fields[1]:  # noqa: PLR2004 - number, local, remote, state
            continue
        (local, local_port), (remote, remote_port) = (_end(field) for field in fields[1:3])
        if not (local.is_loopback or remote.is_loopback):
            yield Socket(str(local), local_port, str(remote), remote_port)


def _end(field: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """`0100007F:1F90` is 127.0.0.1:8080: four-byte words in the machine's byte order, the port in network order."""
    address, _, port = field.partition(":")
    raw = b"".join(bytes.fromhex(address[at : at + _WORD])[::-1] for at in range(0, len(address), _WORD))
    if len(address) == _V4:
        return ipaddress.IPv4Address(raw), int(port, 16)
    six = ipaddress.IPv6Address(raw)
    return six.ipv4_mapped or six, int(port, 16)
