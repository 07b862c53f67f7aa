"""Egress (`meshcourse up --egress`): connections of pods to addresses outside the cluster continue from the host's own network.

Inside, iptables redirects every TCP connection to an address outside the cluster to a port of the node. The node accepts it, reads its
original destination and connects to that by a socket of the host's network (host_sockets.py). dns_relay.py resolves names.
This needs no rights, no NAT and no program on the host, and leaves nothing behind. TCP and DNS only: no ping, no other UDP. To the host it
is as if the user's own program connected; the host's 127.0.0.1 cannot be reached, since for a pod that is the pod itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import shutil
import socket
import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from meshcourse.cluster import components, gateway_ports
from meshcourse.cluster.dns_relay import Relay
from meshcourse.core.errors import ClusterError

if TYPE_CHECKING:
    from meshcourse.cluster.host_sockets import HostSockets

PORT: Final = 15999
INSIDE: Final = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", components.SERVICE_CIDR, components.POD_CIDR, "172.18.0.0/24")
"""What never leaves the cluster: this host, link-local, multicast, Services, pods, the node and its load balancers."""
_SO_ORIGINAL_DST: Final = 80


def rules() -> list[list[str]]:
    """The iptables commands for the cluster's own network namespace, in order."""
    chain = "MESHCOURSE-EGRESS"
    stay = [["-A", chain, "-d", each, "-j", "RETURN"] for each in INSIDE]
    turn = ["-A", chain, "-p", "tcp", "-j", "REDIRECT", "--to-ports", str(PORT)]
    return [["-t", "nat", *words] for words in (["-N", chain], *stay, turn, ["-A", "PREROUTING", "-s", components.POD_CIDR, "-j", chain])]


@contextlib.asynccontextmanager
async def opened(sockets: HostSockets) -> AsyncIterator[None]:
    """Egress inside this block. Raises ClusterError."""
    iptables = shutil.which("iptables") or "iptables"
    for words in rules():
        done = await asyncio.create_subprocess_exec(iptables, "-w", *words, stderr=asyncio.subprocess.PIPE)
        _, said = await done.communicate()
        if done.returncode:
            why = said.decode(errors="replace").strip()
            raise ClusterError("Egress could not be set up.", why=why, next="meshcourse up    # without --egress")

    def out(accepted: asyncio.Transport) -> tuple[socket.socket, tuple[str, int]]:
        where = original_destination(accepted.get_extra_info("socket"))
        return sockets.tcp(), where

    # The target of REDIRECT depends on the pod that sends: an address of its own link.
    listener = gateway_ports.listen_inside("0.0.0.0", PORT)  # noqa: S104 - of a network that ends at the node
    server = await gateway_ports.forward_each(listener, out)
    try:
        async with Relay(sockets).serving():
            yield
    finally:
        server.close()


def original_destination(connection: socket.socket) -> tuple[str, int]:
    """A connection's target before iptables redirected it here. Raises OSError for one that was sent here itself."""
    port, packed = struct.unpack("!2xH4s8x", connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
    address = socket.inet_ntoa(packed)
    if any(ipaddress.ip_address(address) in ipaddress.ip_network(each) for each in INSIDE):
        raise OSError(0, f"{address} is inside the cluster")
    return address, int(port)
