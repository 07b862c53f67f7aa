"""Services on this machine: every NodePort answers on 127.0.0.1, and every Service of type LoadBalancer gets an address that answers.

`wanted` is pure: what a Service promises to the host. `HostPorts` follows all Services, listens on the host for each promise, writes
`status.loadBalancer` as a cloud's controller does, and calls `changed` with what is open. Only TCP is forwarded; other ports are listed as
closed, with the reason.

A load balancer's address is one of 127.0.0.0/8, so that no two Services and no two clusters share a port. Where the host does not allow it
(an ordinary user may not listen on port 80), the Service gets an address that answers inside the cluster, and an event names its NodePort.
A port in use by another program causes an event, and is tried again every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from meshcourse.cluster import gateway_ports
from meshcourse.node.api import ApiError

if TYPE_CHECKING:
    from meshcourse.cluster.host_sockets import HostSockets
    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api
    from meshcourse.node.events import Events

_log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
AGAIN_SECONDS: Final = 5.0
_ADDRESSES: Final = 16  # as many are tried when a port is in use: if all fail, a program has it on all addresses
_INSIDE: Final = "172.18.0.{}"
_FIRST_INSIDE: Final = 100


@dataclass(frozen=True)
class Promise:
    """One port of the host: `port` on `address` forwards to `target` inside. `name` is the Service port's, or its number."""

    name: str
    address: str
    port: int
    target: tuple[str, int]
    protocol: str = "TCP"


@dataclass(frozen=True)
class OpenPort:
    """The state of one port; `why` is empty where it answers."""

    namespace: str
    service: str
    name: str
    address: str
    port: int
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """For ports.json."""
        return asdict(self)


def wanted(service: Json, address: str, node_ip: str) -> Iterator[Promise]:
    """The host's ports for a Service: its NodePorts, and its own ports on `address` when it has one."""
    spec = service["spec"]
    if spec.get("type") not in {"NodePort", "LoadBalancer"}:
        return
    for port in spec.get("ports") or ():
        name, protocol = port.get("name") or str(port["port"]), port.get("protocol", "TCP")
        if node_port := port.get("nodePort"):
            yield Promise(name, LOOPBACK, node_port, (node_ip, node_port), protocol)
        if address:
            yield Promise(name, address, port["port"], (spec["clusterIP"], port["port"]), protocol)


def is_ours(service: Json) -> bool:
    """Whether this controller balances the Service: type LoadBalancer, of no other controller's class, and not being deleted."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not service["metadata"].get("deletionTimestamp")


def addresses(cluster: str) -> Iterator[str]:
    """Loopback addresses for load balancers, a series of its own for each cluster's name.

    >>> list(itertools.islice(addresses("meshcourse"), 2))
    ['127.83.32.1', '127.83.32.2']
    """
    number = zlib.crc32(cluster.encode())
    return (f"127.{64 + number % 64}.{number // 64 % 256}.{last}" for last in itertools.cycle(range(1, 255)))


@dataclass
class _Kept:
    """A Service that is followed, its load balancer's address, and its open ports."""

    service: Json
    address: str = ""
    inside: str = ""
    servers: dict[Promise, asyncio.Server] = field(default_factory=dict)
    refused: dict[Promise, str] = field(default_factory=dict)
    written: bool = False


class HostPorts:
    """Opens the ports of all Services. `reserved` are NodePorts that the host has open already."""

    def __init__(  # noqa: PLR0913 - what it works with
        self,
        api: Api,
        events: Events,
        sockets: HostSockets,
        *,
        cluster: str,
        node_ip: str,
        reserved: Collection[int],
        changed: Callable[[list[OpenPort]], None],
    ) -> None:
        self._api, self._events, self._sockets = api, events, sockets
        self._addresses = addresses(cluster)
        self._node_ip = node_ip
        self._reserved = reserved
        self._changed = changed
        self._kept: dict[str, _Kept] = {}
        self._last_listed: list[OpenPort] = []
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Follow the Services until cancelled; then nothing listens any more."""
        again = asyncio.create_task(self._try_again(), name="host ports that are taken")
        try:
            async with contextlib.aclosing(self._api.list_and_watch("/api/v1/services")) as changes:
                async for kind, what in changes:
                    if kind == "SYNC":
                        for uid in self._kept.keys() - {each["metadata"]["uid"] for each in what}:
                            self._forget(uid)
                    elif kind == "DELETED":
                        self._forget(what["metadata"]["uid"])
                    for service in what if kind == "SYNC" else [what] if kind != "DELETED" else []:
                        await self._keep(service)
                    self._tell()
        finally:
            again.cancel()
            for uid in list(self._kept):
                self._forget(uid)

    async def _try_again(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            for kept in list(self._kept.values()):
                if kept.refused or (is_ours(kept.service) and not kept.written):
                    await self._keep(kept.service)
            self._tell()

    async def _keep(self, service: Json) -> None:
        async with self._one_at_a_time:
            await self._keep_alone(service)

    async def _keep_alone(self, service: Json) -> None:
        kept = self._kept.setdefault(service["metadata"]["uid"], _Kept(service))
        kept.service = service
        try:
            if is_ours(service) and not kept.address and not kept.inside:
                await self._give_address(kept)
            elif not is_ours(service):
                kept.address = kept.inside = ""
                kept.written = False
            await self._settle(kept)
            if is_ours(service):
                await self._write_status(kept)
        except ApiError as error:
            _log.warning("Service %s: %s", service["metadata"]["name"], error.what)
        except Exception:  # noqa: BLE001 - a Service that cannot be understood must not end the others
            _log.exception("Service %s is skipped", service["metadata"]["name"])

    async def _give_address(self, kept: _Kept) -> None:
        """Find a loopback address on which all ports of the Service are free, or one inside the cluster."""
        why = ""
        for address in itertools.islice(self._addresses, _ADDRESSES):
            promises = [each for each in wanted(kept.service, address, self._node_ip) if (each.address, each.protocol) == (address, "TCP")]
            try:
                opened = {each: self._sockets.listening(each.address, each.port) for each in promises}
            except OSError as error:
                why = error.strerror or str(error)
                if error.errno == errno.EADDRINUSE:
                    continue
                break
            kept.servers |= {each: await gateway_ports.forward(opened[each], each.target) for each in promises}
            kept.address = address
            return
        used = {each.inside for each in self._kept.values()}
        kept.inside = next(each for last in range(_FIRST_INSIDE, 255) if (each := _INSIDE.format(last)) not in used)
        doors = ", ".join(f"{each.name} at {each.address}:{each.port}" for each in wanted(kept.service, "", self._node_ip)) or "none"
        message = (
            f"{kept.inside} answers inside the cluster only: this machine refused an address of 127.0.0.0/8 ({why}). From here: {doors}"
        )
        self._events.record(kept.service, "Warning", "LoadBalancerInside", message)

    async def _settle(self, kept: _Kept) -> None:
        """Close ports that are no longer wanted, open new ones."""
        promised = set(wanted(kept.service, kept.address, self._node_ip))
        for promise in kept.servers.keys() - promised:
            kept.servers.pop(promise).close()
        kept.refused = {promise: why for promise, why in kept.refused.items() if promise in promised}
        for promise in sorted(promised - kept.servers.keys(), key=lambda each: (each.address, each.port)):
            if promise.address == LOOPBACK and promise.port in self._reserved:
                continue
            try:
                kept.servers[promise] = await self._opened(promise)
                kept.refused.pop(promise, None)
            except OSError as error:
                why = "another program of this machine listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
                if kept.refused.get(promise) != why:
                    kept.refused[promise] = why
                    text = f"{promise.address}:{promise.port} of this machine is not forwarded to this Service: {why}"
                    self._events.record(kept.service, "Warning", "HostPortNotOpened", text)

    async def _opened(self, promise: Promise) -> asyncio.Server:
        """Listen for a promise. Raises OSError when this machine refuses it."""
        if promise.protocol != "TCP":
            why = f"{promise.protocol} ports are not forwarded from this machine; inside the cluster this one answers"
            raise OSError(errno.EPROTONOSUPPORT, why)
        return await gateway_ports.forward(self._sockets.listening(promise.address, promise.port), promise.target)

    async def _write_status(self, kept: _Kept) -> None:
        """Write the Service's address. kube-proxy routes to an address inside (VIP) itself, and ignores the host's (Proxy)."""
        entry = {"ip": kept.address or kept.inside, "ipMode": "Proxy" if kept.address else "VIP"}
        kept.written = (kept.service.get("status", {}).get("loadBalancer") or {}).get("ingress") == [entry]
        if not kept.written:
            metadata = kept.service["metadata"]
            path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"
            await self._api.patch(path, {"status": {"loadBalancer": {"ingress": [entry]}}})
            kept.written = True
            self._events.record(kept.service, "Normal", "EnsuredLoadBalancer", f"Ensured load balancer at {entry['ip']}")

    def _forget(self, uid: str) -> None:
        if kept := self._kept.pop(uid, None):
            for server in kept.servers.values():
                server.close()

    def _tell(self) -> None:
        listed = [
            OpenPort(
                kept.service["metadata"]["namespace"],
                kept.service["metadata"]["name"],
                each.name,
                each.address,
                each.port,
                kept.refused.get(each, ""),
            )
            for kept in self._kept.values()
            for each in wanted(kept.service, kept.address, self._node_ip)
        ]
        listed.sort(key=lambda each: (each.namespace, each.service, each.address, each.port))
        if listed != self._last_listed:
            self._last_listed = listed
            self._changed(listed)
