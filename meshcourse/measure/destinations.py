"""What the ingress gateway's Envoys sent to each destination of a route, whether they hold its weights, and which route takes a request.

Envoy counts the requests to each endpoint of each cluster, whatever statistics Istio exposes. These are all requests from the gateway to
them, also those of other clients and other routes. Blocking; some milliseconds.
"""

from __future__ import annotations

import functools
import json
import re
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from meshcourse.core.json_types import JsonMapping
from meshcourse.kube import pods
from meshcourse.kube.connection import Connection
from meshcourse.measure import route_matching
from meshcourse.measure.route_matching import Asked
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.envoy.admin import AdminConnection
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.install import installation
from meshcourse.mesh.rules.weights import Destination, Split
from meshcourse.traffic.targets import Target

_FRESH: Final = 5.0
"""Seconds for which the list of the gateway's pods is reused."""
_NEAR: Final = 0.51
"""Rounding tolerance of a weight, in per cent."""


@dataclass(frozen=True)
class Sent:
    """Requests that Envoy sent to endpoints, and how many of them failed: a 5xx answer, or none."""

    requests: int = 0
    errors: int = 0

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.requests + other.requests, self.errors + other.errors)

    def __sub__(self, before: Sent) -> Sent:
        """The increase since `before`. A count that has fallen was reset, and starts from 0."""
        return self if self.requests < before.requests else Sent(self.requests - before.requests, self.errors - before.errors)


class Destinations:
    """Kept-open connections to the gateway's pods, and their last counts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lines: dict[str, AdminConnection] = {}
        self._names: tuple[str, ...] = ()
        self._looked = -_FRESH
        self._counts: dict[tuple[str, str], dict[str, Sent]] = {}
        self._hosts: frozenset[str] = frozenset()

    def sent(self, split: Split) -> dict[str, Sent]:
        """The requests to each destination since the last call; nothing at the first call, and at the first for a host.

        Raises MeshcourseError when no gateway answers.
        """
        found = dict.fromkeys(split.weights, Sent())
        hosts = frozenset(each.host for each in split.destinations)
        pattern = "|".join(re.escape(each) for each in sorted(hosts))
        for pod, line in self._pods().items():
            page = json.loads(line.get(f"clusters?format=json&filter={quote(pattern)}"))
            for cluster in page.get("cluster_statuses", ()):
                name = str(cluster.get("name", ""))
                counts = {_address(host): _sent(host) for host in cluster.get("host_statuses", ())}
                before = self._counts.get((pod, name), {})
                self._counts[pod, name] = counts
                meant = [each for each in split.destinations if _leads(name, each)]
                if meant and meant[0].host in self._hosts:  # two destinations of one cluster look the same: the first gets everything
                    for address, now in counts.items():
                        found[meant[0].name] += now - before.get(address, Sent())
        self._hosts = hosts
        return found

    def hold(self, split: Split) -> bool:
        """Whether every gateway pod holds the route with these weights. Raises MeshcourseError when no gateway answers."""
        wanted = {(each.host, each.subset): 0.0 for each in split.destinations}
        for each in split.destinations:
            wanted[each.host, each.subset] += split.percent[each.name]
        return all(any(_same(wanted, route) for route in _routes(line.routes(), split)) for line in self._pods().values())

    def other_route(self, target: Target, split: Split) -> str:
        """The route that takes requests to `target` in place of the split's, in words: `route 1 of VirtualService shop/older`.

        Empty where it is the split's, where the gateway answers by itself, and where that cannot be told. Raises MeshcourseError when no
        gateway answers.
        """
        for line in self._pods().values():
            taken = route_matching.taken(line.routes(), Asked.of(target), self._connection.gateway_port)
            if taken is not None and not _made_from(taken, split):
                *_, namespace, _, owner = f"//{config_dump.origin(taken)}".split("/")
                named = f"the route {taken['name']}" if taken.get("name") else "a route"
                return f"{named} of VirtualService {namespace}/{owner}" if owner else f"{named} that no VirtualService made"
        return ""

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            line.close()

    def _pods(self) -> dict[str, AdminConnection]:
        now = time.monotonic()
        if now - self._looked > _FRESH:
            self._names, self._looked = pods.ready(self._connection, installation.NAMESPACE, installation.INGRESS), now
        for name in self._names:
            if name not in self._lines:
                self._lines[name] = AdminConnection(self._connection, installation.NAMESPACE, functools.partial(str, name))
        return {name: self._lines[name] for name in self._names}


def _routes(configuration: list[dict[str, Any]], split: Split) -> list[config_dump.Route]:
    """The routes made from a split's http route; without a name, those of its whole VirtualService."""
    origin = config_dump.ORIGIN.format(*split.root)
    every = [route for table in configuration for host in table.get("virtualHosts", ()) for route in host.get("routes", ())]
    ours = [route for route in every if config_dump.origin(route) == origin]
    named = [route for route in ours if str(route.get("name", "")).endswith(split.route)]
    return [found for found in map(config_dump.from_envoy, named or ours) if found.shares]


def _made_from(route: JsonMapping, split: Split) -> bool:
    """Whether Envoy's route is the split's; of a route without a name only the destinations tell."""
    if config_dump.origin(route) != config_dump.ORIGIN.format(*split.root):
        return False
    if not split.route.isdecimal() and route.get("name"):  # Istio joins the names of http route and match by a dot, a delegate's by a dash
        return split.route in route["name"]
    return {(share.host, share.subset) for share in config_dump.from_envoy(route).shares} <= {
        (each.host, each.subset) for each in split.destinations
    }


def _leads(cluster: str, destination: Destination) -> bool:
    name = ClusterName.parse(cluster)
    port = destination.port is None or name.port == str(destination.port)
    return name.direction == "outbound" and (name.host, name.subset) == (destination.host, destination.subset) and port


def _same(wanted: dict[tuple[str, str], float], route: config_dump.Route) -> bool:
    total = sum(share.weight for share in route.shares)
    held = {(share.host, share.subset): 100 * share.weight / total for share in route.shares if total}
    return all(abs(percent - held.get(place, 0.0)) < _NEAR for place, percent in wanted.items()) and set(held) <= set(wanted)


def _address(host: dict[str, Any]) -> str:
    return json.dumps(host.get("address", {}), sort_keys=True)


def _sent(host: dict[str, Any]) -> Sent:
    stats = {stat.get("name"): int(stat.get("value", 0)) for stat in host.get("stats", ())}
    return Sent(stats.get("rq_total", 0), stats.get("rq_error", 0))
