"""Which requests through a gateway reach a VirtualService: which hosts they must have, or why none does.

A VirtualService is read by the gateways that it names, for its hosts and those of the Gateway; without `gateways`, or with `mesh` alone,
only the sidecars read it. A delegate has no hosts of its own: those of the VirtualService that delegates to it apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.mesh.rules.istio_object import Rule

MESH: Final = "mesh"
ANY: Final = "*"


@dataclass(frozen=True)
class Listeners:
    """`patterns` are the hosts, with wildcards, for which a gateway reads the rule; if there are none, `why` is the reason."""

    patterns: tuple[str, ...] = (ANY,)
    why: str = ""

    def takes(self, host: str) -> bool:
        """Whether a request for `host` reaches the rule."""
        return any(matches(pattern, host) for pattern in self.patterns)

    @property
    def host(self) -> str:
        """A host for requests; empty where any host works, or none does."""
        if ANY in self.patterns or not self.patterns:
            return ""
        first = min(self.patterns, key=lambda pattern: pattern.startswith(ANY))
        return f"www{first[1:]}" if first.startswith(ANY) else first


OPEN: Final = Listeners()
"""Every request reaches it."""


def of(connection: Connection, namespace: str, virtual_service: Mapping[str, Any]) -> Listeners:
    """The listeners of one VirtualService. A Gateway that may not be read counts as open.

    Raises KubernetesError when the API server does not answer.
    """
    spec = virtual_service.get("spec", {})
    name = str(virtual_service.get("metadata", {}).get("name", ""))
    named = [str(each) for each in spec.get("gateways") or (MESH,) if each != MESH]
    hosts = tuple(str(each) if set(".*") & set(str(each)) else f"{each}.{namespace}.svc.cluster.local" for each in spec.get("hosts") or ())
    if not hosts:
        return Listeners((), f"VirtualService {name} has no hosts: another VirtualService delegates to it. Open the panel for that one.")
    if not named:
        return Listeners((), f"No gateway reads VirtualService {name}: it is for the sidecars alone (gateways: {MESH}).")
    found: list[str] = []
    absent: list[str] = []
    for each in named:
        where, _, gateway = each.rpartition("/")
        try:
            servers = Rule(connection, where or namespace, gateway, "Gateway").read().get("spec", {}).get("servers") or ()
        except errors.KubernetesError as error:
            if error.code == 404:  # noqa: PLR2004 - HTTP: not found
                absent.append(each)
                continue
            if not error.code:
                raise
            found += hosts
            continue
        opened = [str(host).rpartition("/")[2] for server in servers for host in server.get("hosts") or ()]
        found += [both for host in hosts for name in opened if (both := common(host, name))]
    if found:
        return Listeners(tuple(dict.fromkeys(found)))
    if len(absent) == len(named):
        return Listeners((), f"No gateway reads VirtualService {name}: there is no Gateway {', '.join(absent)}.")
    return Listeners(
        (), f"No gateway reads VirtualService {name}: its hosts ({', '.join(hosts)}) are not those of Gateway {', '.join(named)}."
    )


def matches(pattern: str, host: str) -> bool:
    """Whether a host fits a pattern such as `*`, `*.example.com` or a name."""
    return host.endswith(pattern[1:]) if pattern.startswith(ANY) else pattern == host


def common(one: str, other: str) -> str:
    """The narrower of two patterns, where one host can match both; otherwise nothing."""
    for wide, narrow in ((one, other), (other, one)):
        if matches(wide, narrow.removeprefix(ANY)) or wide == narrow:
            return narrow
    return ""
