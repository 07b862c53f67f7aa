"""hostPorts: which of the node's ports are taken, and the iptables rules that forward them to containers.

The node's address is the cluster's own (172.18.0.2), not the machine's. The rules are those of the CNI plugin portmap: DNAT for whatever is
sent to an address of the node, and a source address that the pod can answer for what comes from 127.0.0.1 or from the pod itself.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from meshcourse.node.network import host_side, write_sysctl

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json

CHAIN: Final = "MESHCOURSE-HOSTPORTS"
PROTOCOLS: Final = ("TCP", "UDP")
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - what a manifest may say


@dataclass(frozen=True)
class Mapping:
    """`port` of the node's address `ip` ("" for all of them) leads to the container's port `target`."""

    ip: str
    port: int
    protocol: str
    target: int

    def clashes(self, other: Mapping) -> bool:
        """Whether both ask for the same port, as the scheduler and a kubelet see it."""
        same_ip = self.ip == other.ip or not self.ip or not other.ip
        return same_ip and (self.port, self.protocol) == (other.port, other.protocol)


def wanted(pod: Json) -> tuple[Mapping, ...]:
    """The ports of the node that a pod asks for."""
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    ports = [port for container in containers for port in container.get("ports") or [] if port.get("hostPort")]
    return tuple(
        Mapping(
            "" if port.get("hostIP", "") in _ANY else port["hostIP"], port["hostPort"], port.get("protocol", "TCP"), port["containerPort"]
        )
        for port in ports
    )


def rules(mapping: Mapping, pod_ip: str) -> list[list[str]]:
    """The iptables rules of one mapping, each without the option that adds or deletes it."""
    protocol = mapping.protocol.lower()
    to = ["-d", mapping.ip] if mapping.ip else []
    arrives = ["-d", pod_ip, "-p", protocol, "--dport", str(mapping.target), "-j", "MASQUERADE"]
    return [
        [CHAIN, "-p", protocol, *to, "--dport", str(mapping.port), "-j", "DNAT", "--to-destination", f"{pod_ip}:{mapping.target}"],
        *(["POSTROUTING", "-s", source, *arrives] for source in ("127.0.0.0/8", pod_ip)),
    ]


class PortMappings:
    """The node's ports that pods have. `address` is the node's own where it is one of several, else all addresses are."""

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._taken: dict[str, tuple[Mapping, ...]] = {}
        self._open: dict[str, list[list[str]]] = {}
        self._has_chain = False
        self._one_at_a_time = asyncio.Lock()

    def take(self, uid: str, mappings: tuple[Mapping, ...]) -> bool:
        """Assign the ports to pod `uid`, unless another pod has one of them."""
        others = [mapping for key, those in self._taken.items() if key != uid for mapping in those]
        if any(mapping.clashes(other) for mapping in mappings for other in others):
            return False
        if mappings:
            self._taken[uid] = mappings
        return True

    async def open(self, uid: str, pod_ip: str) -> None:
        """Forward the ports of pod `uid` to its address. Raises OSError."""
        async with self._one_at_a_time:
            if uid in self._open or not self._taken.get(uid):
                return
            if not self._has_chain:
                await _make_chain()
                self._has_chain = True
            write_sysctl(f"net/ipv4/conf/{host_side(pod_ip)}/route_localnet", "1")
            self._open[uid] = []
            for mapping in self._taken[uid]:
                for rule in rules(replace(mapping, ip=mapping.ip or self._address), pod_ip):
                    await _iptables("-A", *rule)
                    self._open[uid].append(rule)

    async def give_back(self, uid: str) -> None:
        """Release the ports of pod `uid` and delete its rules. Raises OSError."""
        async with self._one_at_a_time:
            self._taken.pop(uid, None)
            for rule in self._open.pop(uid, ()):
                await _iptables("-D", *rule)


async def _make_chain() -> None:
    try:
        await _iptables("-N", CHAIN)
    except OSError as error:
        if "exists" not in str(error):
            raise
        return  # another node made it, or this one before it was restarted
    for where in ("PREROUTING", "OUTPUT"):
        await _iptables("-I", where, "-m", "addrtype", "--dst-type", "LOCAL", "-j", CHAIN)


async def _iptables(*words: str) -> None:
    program = shutil.which("iptables") or "iptables"
    done = await asyncio.create_subprocess_exec(program, "-w", "-t", "nat", *words, stderr=asyncio.subprocess.PIPE)
    _, said = await done.communicate()
    if done.returncode:
        raise OSError(0, f"iptables {' '.join(words)}: {said.decode(errors='replace').strip()}")
