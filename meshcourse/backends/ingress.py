"""How to reach the ingress gateway of an existing cluster: its load balancer, a NodePort, or through the API server.

Pure, except for `answers`. An address counts when Istio's status port behind it answers that the gateway is ready: on port 80 the gateway
listens only once a Gateway has been applied. If the API server is on this machine's loopback, nodes' addresses cannot be reached, so
NodePorts are not tried.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import settings
from meshcourse.core.errors import ClusterError

AUTO: Final = "auto"
LOAD_BALANCER: Final = "load-balancer"
NODE_PORT: Final = "node-port"
PORT_FORWARD: Final = "port-forward"
WAYS: Final = (AUTO, LOAD_BALANCER, NODE_PORT, PORT_FORWARD)
NODES: Final = 4
"""How many nodes' addresses are tried: each one that does not answer costs seconds."""
_HTTP: Final = 80
_STATUS: Final = 15021


@dataclass(frozen=True)
class Address:
    """One address of the gateway's port 80; `status_port` is that of its port 15021, or 0."""

    way: str
    host: str
    port: int
    status_port: int = 0

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}" if self.port == _HTTP else f"http://{host}:{self.port}"


def check_way(way: str) -> str:
    """`way`, or a URL without its trailing slash. Raises ClusterError for anything else."""
    if way in WAYS:
        return way
    if (parts := urllib.parse.urlsplit(way)).scheme in {"http", "https"} and parts.hostname:
        return way.rstrip("/")
    raise ClusterError(
        f"--ingress cannot be {way!r}.", why=f"it is one of {', '.join(WAYS)}, or a URL", next="meshcourse up ... --ingress auto"
    )


def find(
    way: str, service: Mapping[str, Any] | None, nodes: Iterable[Mapping[str, Any]], api_url: str, *, answers: Callable[[Address], bool]
) -> Address | None:
    """The first address for `way` that `answers`; None: a port must be forwarded. Raises ClusterError when `way` does not work."""
    tried = []
    for address in addresses(service or {}, nodes, api_url, way) if way != PORT_FORWARD else ():
        if answers(address):
            return address
        tried.append(address.url)
    if way in {LOAD_BALANCER, NODE_PORT}:
        has_none = f"the Service {settings.ISTIO_NAMESPACE}/{settings.INGRESS_GATEWAY} has none" if service else "Istio is not installed"
        why = f"nothing answers at {', '.join(tried)}" if tried else has_none
        next_step = "meshcourse up ... --ingress port-forward    # works wherever kubectl works"
        raise ClusterError(f"The ingress gateway cannot be reached by {way}.", why=why, next=next_step)
    return None


def addresses(service: Mapping[str, Any], nodes: Iterable[Mapping[str, Any]], api_url: str, way: str = AUTO) -> Iterator[Address]:
    """Every address that the Service offers, the most direct first."""
    ports = {port["port"]: port for port in service.get("spec", {}).get("ports", ())}
    if _HTTP not in ports:
        return
    if way in {AUTO, LOAD_BALANCER}:
        for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
            if host := entry.get("ip") or entry.get("hostname"):
                yield Address(LOAD_BALANCER, host, _HTTP, _STATUS if _STATUS in ports else 0)
    node_port = ports[_HTTP].get("nodePort")
    if node_port and (way == NODE_PORT or (way == AUTO and not is_loopback(api_url))):
        status_port = ports.get(_STATUS, {}).get("nodePort") or 0
        for host in _node_addresses(nodes):
            yield Address(NODE_PORT, host, node_port, status_port)


def _node_addresses(nodes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    listed = [node.get("status", {}).get("addresses") or () for node in nodes]
    found = [each["address"] for kind in ("ExternalIP", "InternalIP") for addresses in listed for each in addresses if each["type"] == kind]
    return tuple(dict.fromkeys(found))[:NODES]


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine itself."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def answers(address: Address, timeout: float = 2.0) -> bool:
    """Whether a gateway listens there: its status port answers ready or, without one, the port takes connections."""
    if not address.status_port:
        try:
            with socket.create_connection((address.host, address.port), timeout):
                return True
        except OSError:
            return False
    connection = http.client.HTTPConnection(address.host, address.status_port, timeout=timeout)
    try:
        connection.request("GET", "/healthz/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
