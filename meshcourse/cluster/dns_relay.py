"""DNS of a cluster with egress: names of the cluster are resolved by CoreDNS, all others by the host's own resolver.

The engine's CoreDNS knows the cluster only (its plugin `forward` is not built in). With `--egress` the Service kube-dns points to this
relay on the node, and a separate Service points to CoreDNS (`services`). Queries and answers are not changed, with one exception: pods have
no IPv6, so a query for an outside name's IPv6 address gets an empty answer at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from meshcourse.cluster import components

if TYPE_CHECKING:
    from meshcourse.cluster.host_sockets import HostSockets

_log = logging.getLogger(__name__)

PORT: Final = 15953
COREDNS_IP: Final = "10.96.0.11"
_ANSWERS_WITHIN: Final = 5.0
_LARGEST: Final = 65_535
_HEADER: Final = 12
_AAAA: Final = 28
_OF_CLUSTER: Final = (components.CLUSTER_DOMAIN, "in-addr.arpa", "ip6.arpa")


def services(kube_dns: dict[str, Any]) -> list[dict[str, Any]]:
    """The Service kube-dns pointed to the node, and its replacement for CoreDNS."""
    spec = {**kube_dns["spec"]}
    selector, cluster_ip = spec.pop("selector"), spec.pop("clusterIP")
    metadata = kube_dns["metadata"]
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    slice_metadata = {"name": "kube-dns-relay", "namespace": metadata["namespace"], "labels": {"kubernetes.io/service-name": "kube-dns"}}
    return [
        {**kube_dns, "spec": {**spec, "ports": ports, "clusterIP": cluster_ip}},
        {
            **kube_dns,
            "metadata": {"name": "coredns", "namespace": metadata["namespace"]},
            "spec": {**spec, "selector": selector, "clusterIP": COREDNS_IP},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slice_metadata,
            "addressType": "IPv4",
            "endpoints": [{"addresses": [components.NODE_IP], "conditions": {"ready": True}}],
            "ports": [{**port, "port": PORT} for port in ports],
        },
    ]


def resolvers(text: str) -> list[str]:
    r"""The name servers with an IPv4 address in the `text` of /etc/resolv.conf.

    >>> resolvers("search home\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n")
    ['127.0.0.53']
    """
    return [each for each in re.findall(r"(?m)^\s*nameserver\s+(\S+)", text) if _is_ipv4(each)]


def _is_ipv4(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(text).version == 4  # noqa: PLR2004 - IPv4
    return False


def asked(question: bytes) -> tuple[str, int]:
    r"""The name and the type of a DNS message's first question; ("", 0) if it is not a DNS message.

    >>> asked(bytes(12) + b"\x03api\x07example\x03com\x00\x00\x1c\x00\x01")
    ('api.example.com', 28)
    """
    labels, at = [], _HEADER
    while at < len(question) and (length := question[at]):
        labels.append(question[at + 1 : at + 1 + length].decode("ascii", errors="replace").lower())
        at += 1 + length
    return ".".join(labels), int.from_bytes(question[at + 1 : at + 3], "big")


def is_of_cluster(name: str) -> bool:
    """Whether CoreDNS answers for this name."""
    return any(name == each or name.endswith(f".{each}") for each in _OF_CLUSTER)


def empty(question: bytes) -> bytes:
    """The answer that a name has no record of the type: the query itself, as an answer without error."""
    return question[:2] + bytes([question[2] | 0x80, 0x80]) + question[4:6] + bytes(6) + question[_HEADER:]


class Relay:
    """Answers queries, by UDP and TCP. Use `serving`."""

    def __init__(self, sockets: HostSockets) -> None:
        self._sockets = sockets

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer on the node's address inside this block."""
        where = (components.NODE_IP, PORT)
        transport, questions = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Questions(self), where)
        server = await asyncio.start_server(self._converse, *where)
        try:
            yield
        finally:
            server.close()
            transport.close()
            questions.cancel()

    async def answer(self, question: bytes, *, tcp: bool) -> bytes:
        """Query the host's name servers. Raises OSError when none answers in time."""
        name, kind = asked(question)
        of_cluster = is_of_cluster(name)
        if kind == _AAAA and not of_cluster:
            return empty(question)
        loop = asyncio.get_running_loop()
        with _inside(tcp=tcp) if of_cluster else self._sockets.tcp() if tcp else self._sockets.udp() as asking:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                await loop.sock_connect(asking, (COREDNS_IP if of_cluster else _hosts_resolver(), 53))
                if not tcp:
                    await loop.sock_sendall(asking, question)
                    return await loop.sock_recv(asking, _LARGEST)
                reader, writer = await asyncio.open_connection(sock=asking.dup())
                try:
                    writer.write(len(question).to_bytes(2, "big") + question)
                    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                except asyncio.IncompleteReadError as error:
                    raise OSError(0, "the name server closed the connection") from error
                finally:
                    writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                question = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                answer = await self.answer(question, tcp=True)
                writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()


class _Questions(asyncio.DatagramProtocol):
    """Queries by UDP; one without an answer is dropped, and the client repeats it."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # which Python 3.11's is not, but behaves as

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Stop answering."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, question: bytes, who: tuple[str, int]) -> None:
        try:
            answer = await self._relay.answer(question, tcp=False)
        except OSError as error:
            _log.info("%s: no answer: %s", asked(question)[0], error)
        else:
            if self._transport is not None:
                self._transport.sendto(answer, who)


def _inside(*, tcp: bool) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    made.setblocking(False)  # noqa: FBT003 - positional only
    return made


def _hosts_resolver() -> str:
    """The host's first name server, read each time, since a laptop changes networks."""
    found = resolvers(Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise OSError(0, "/etc/resolv.conf names no server with an IPv4 address")
    return found[0]
