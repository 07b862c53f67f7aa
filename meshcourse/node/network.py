"""What containers of a pod share: a network namespace, joined to the node's by a routed veth pair, and namespaces for IPC and host name.

Routed, not bridged: the pod's side has IP/32 and a default route via 169.254.1.1 (a neighbour entry that never
expires stands for it, so no ARP is needed), the node's side a /32 route; replies then pass conntrack and kube-proxy's
NAT works. A pod with hostNetwork gets the node's own network, which is the cluster's, not the machine's.
All of it is forgotten by the kernel when the node's PID namespace ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pyroute2 import IPRoute

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUTS = 0x04000000
MS_BIND = 4096
MNT_DETACH = 2
GATEWAY = "169.254.1.1"
NAMESPACES = Path("/run/netns")
NODES_OWN = Path("/proc/self/ns/net")
"""The network of a pod with hostNetwork: whoever opens this is on the node."""
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class PodNetns:
    """A pod's namespaces: its key, its address, and the files that `nsenter` takes: `path` for the network, `ipc` and `uts`."""

    key: str
    ip: str
    path: Path

    @property
    def ipc(self) -> Path:
        """The namespace of semaphores, message queues and System V shared memory."""
        return NAMESPACES / f"{self.key}.ipc"

    @property
    def uts(self) -> Path:
        """The namespace of the host's name."""
        return NAMESPACES / f"{self.key}.uts"

    @property
    def is_the_nodes(self) -> bool:
        """Whether the network is the node's own."""
        return self.path == NODES_OWN


class AddressesExhausted(OSError):  # noqa: N818 - reads as the sentence it is
    """The pods' CIDR has no free address."""


def call(name: str, *arguments: object) -> None:
    """Call a function of libc that returns 0, or raise the OSError of its errno."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


async def _in_a_thread_of_its_own(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own: a thread that changed its network namespace must not be used again."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: object) -> None:
        if not future.done():
            set_it(value)

    def body() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to the waiter
            loop.call_soon_threadsafe(settle, future.set_exception, error)
        else:
            loop.call_soon_threadsafe(settle, future.set_result, result)

    threading.Thread(target=body, name="pod-netns", daemon=True).start()
    return await future


def prepare_node(node_ip: str, service_cidr: str) -> None:
    """Set the node's own address, its route to Services and the sysctls that routing pods needs.

    The node's IP is on lo. Services get a route there with the node's IP as source, so that a program on the node that calls a Service has
    an address that the pod can answer.
    """
    with IPRoute() as route:
        lo = route.link_lookup(ifname="lo")[0]
        route.link("set", index=lo, state="up")
        route.addr("add", index=lo, address=node_ip, prefixlen=32)
        route.route("add", dst=service_cidr, oif=lo, prefsrc=node_ip)
    write_sysctl("net/ipv4/ip_forward", "1")
    # Whoever calls a pod that has gone is told so at once, each time: by default a router tells it once a second.
    write_sysctl("net/ipv4/icmp_ratelimit", "0")


def change_address(change: Literal["add", "del"], node_ip: str) -> None:
    """Add the address of one more node to the node's own namespace, or remove it; pods with a veth pair keep theirs."""
    with IPRoute() as route:
        route.addr(change, index=route.link_lookup(ifname="lo")[0], address=node_ip, prefixlen=32)


def write_sysctl(name: str, value: str) -> None:
    """Write /proc/sys/`name`; the net ones belong to the writer's network namespace."""
    (Path("/proc/sys") / name).write_text(value, encoding="ascii")


class Network:
    """The pods' addresses and namespaces."""

    def __init__(self, node_ip: str, pod_cidr: str) -> None:
        self._node_ip = node_ip
        self._free = [str(address) for address in ipaddress.ip_network(pod_cidr).hosts()][1:]
        self._pods: dict[str, PodNetns] = {}

    async def add(self, key: str, hostname: str, *, of_node: bool = False) -> PodNetns:
        """Make the namespaces of pod `key`, or return those that it has. `of_node`: it gets the node's network, not one of its own.

        Raises AddressesExhausted when no address is free, and OSError, with nothing left behind, when the kernel refuses.
        """
        if key in self._pods:
            return self._pods[key]
        if not of_node and not self._free:
            raise AddressesExhausted(0, "no free pod address in the node's pod CIDR")
        # The oldest free address first, so that an address is not reused while old connections still linger.
        pod = PodNetns(key, self._node_ip, NODES_OWN) if of_node else PodNetns(key, self._free.pop(0), NAMESPACES / key)
        self._pods[key] = pod
        making = asyncio.ensure_future(_in_a_thread_of_its_own(lambda: _make(pod, self._node_ip, hostname)))
        try:
            await asyncio.shield(making)
        except BaseException:
            await asyncio.wait([making])  # a pod that is deleted meanwhile: the thread continues, and what it creates afterwards would stay
            await self.remove(key)
            raise
        return pod

    async def remove(self, key: str) -> None:
        """Forget pod `key`: its namespaces, and with them its veth pair and routes, go when its last process has ended."""
        pod = self._pods.pop(key, None)
        if pod is None:
            return
        if not pod.is_the_nodes:
            self._free.append(pod.ip)
        await asyncio.to_thread(_unmake, pod)

    async def configure(self, pod: PodNetns, sysctls: Mapping[str, str]) -> None:
        """Write sysctls of the pod's namespaces: "net.ipv4.tcp_fin_timeout" -> "30".

        Raises:
            OSError: the kernel refused one.
        """
        await _in_a_thread_of_its_own(lambda: _configure_sysctls(pod, sysctls))

    async def connect(self, pod: PodNetns, port: int, timeout: float = 5.0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ASYNC109
        """Connect to 127.0.0.1:`port` inside the pod, as `kubectl port-forward` does, within `timeout` seconds.

        Raises OSError when nothing listens there.
        """
        connection = await _in_a_thread_of_its_own(lambda: _socket_inside(pod))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
            return await asyncio.open_connection(sock=connection)
        except BaseException:
            connection.close()
            raise


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        call("setns", descriptor, 0)
    finally:
        os.close(descriptor)


def _configure_sysctls(pod: PodNetns, sysctls: Mapping[str, str]) -> None:
    _enter(pod.path)
    _enter(pod.ipc)
    for name, value in sysctls.items():
        write_sysctl(name.replace(".", "/"), value)


def _socket_inside(pod: PodNetns) -> socket.socket:
    """A socket keeps the network namespace of the thread that made it."""
    _enter(pod.path)
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)  # noqa: FBT003 - positional only
    return made


def host_side(ip: str) -> str:
    """The name of the veth's node side: legible, unique, and within the kernel's 15 characters."""
    return "pod" + ip.replace(".", "-").split("-", 1)[1]


def _make(pod: PodNetns, node_ip: str, hostname: str) -> None:
    NAMESPACES.mkdir(exist_ok=True)
    call("unshare", CLONE_NEWIPC | CLONE_NEWUTS)
    call("sethostname", hostname.encode(), len(hostname.encode()))
    _keep("ipc", pod.ipc)
    _keep("uts", pod.uts)
    if not pod.is_the_nodes:
        _make_network(pod, node_ip)


def _keep(kind: str, path: Path) -> None:
    """Hold this thread's namespace by a file."""
    path.touch()
    call("mount", f"/proc/thread-self/ns/{kind}".encode(), os.fsencode(path), None, MS_BIND, None)


def _make_network(pod: PodNetns, node_ip: str) -> None:
    node = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        call("unshare", CLONE_NEWNET)
        _keep("net", pod.path)
        # As the container runtimes set it: a container that does not run as root may listen on port 80.
        write_sysctl("net/ipv4/ip_unprivileged_port_start", "0")
        inside = os.open(pod.path, os.O_RDONLY)
        try:
            call("setns", node, CLONE_NEWNET)
            node_mac, pod_mac = _veth(pod, inside)
            call("setns", inside, CLONE_NEWNET)
        finally:
            os.close(inside)
        _configure_inside(pod, node_mac)
        call("setns", node, CLONE_NEWNET)
        _route_to(pod, pod_mac, node_ip)
    finally:
        os.close(node)


def _veth(pod: PodNetns, inside: int) -> tuple[str, str]:
    with IPRoute() as route:
        name = host_side(pod.ip)
        octets = [int(part) for part in pod.ip.split(".")]
        node_mac, pod_mac = (f"02:{kind:02x}:" + ":".join(f"{octet:02x}" for octet in octets) for kind in (1, 2))
        peer = {"ifname": "eth0", "net_ns_fd": inside, "address": pod_mac}
        route.link("add", ifname=name, kind="veth", address=node_mac, peer=peer)
    return node_mac, pod_mac


def _configure_inside(pod: PodNetns, node_mac: str) -> None:
    with IPRoute() as route:
        lo, eth0 = route.link_lookup(ifname="lo")[0], route.link_lookup(ifname="eth0")[0]
        route.link("set", index=lo, state="up")
        route.addr("add", index=eth0, address=pod.ip, prefixlen=32)
        route.link("set", index=eth0, state="up")
        route.neigh("add", dst=GATEWAY, lladdr=node_mac, ifindex=eth0, state="permanent")
        route.route("add", dst=f"{GATEWAY}/32", oif=eth0, scope="link")
        route.route("add", dst="0.0.0.0/0", gateway=GATEWAY, oif=eth0)


def _route_to(pod: PodNetns, pod_mac: str, node_ip: str) -> None:
    with IPRoute() as route:
        index = route.link_lookup(ifname=host_side(pod.ip))[0]
        # The node's address on each veth, so that MASQUERADE has a source to take.
        route.addr("add", index=index, address=node_ip, prefixlen=32)
        route.link("set", index=index, state="up")
        route.neigh("add", dst=pod.ip, lladdr=pod_mac, ifindex=index, state="permanent")
        route.route("add", dst=f"{pod.ip}/32", oif=index, scope="link", prefsrc=node_ip)


def _unmake(pod: PodNetns) -> None:
    if not pod.is_the_nodes:
        with IPRoute() as route:
            for index in route.link_lookup(ifname=host_side(pod.ip)):
                route.link("del", index=index)
    for path in (pod.ipc, pod.uts, *(() if pod.is_the_nodes else (pod.path,))):
        if path.exists():
            _libc.umount2(os.fsencode(path), MNT_DETACH)
            path.unlink()
