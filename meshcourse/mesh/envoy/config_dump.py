"""What an Envoy holds: its routes, as `istioctl proxy-config routes` reads them from the running proxy.

Parsing is pure; `of` runs istioctl and blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import settings
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.install import installation, istioctl

INGRESS: Final = f"deploy/{installation.INGRESS}.{installation.NAMESPACE}"
TABLE: Final = "http."
"""Start of the name of a gateway's route table for plain HTTP; the port inside the pod follows."""
ORIGIN: Final = "/apis/networking.istio.io/v1/namespaces/{}/virtual-service/{}"
"""The path of a VirtualService, by namespace and name, as `origin` returns it."""


@dataclass(frozen=True)
class Share:
    """One destination of a route. An empty `subset` means the whole Service; weights are relative to their sum."""

    host: str
    subset: str
    weight: int

    @property
    def place(self) -> str:
        """Short form for a table: `reviews v2`."""
        return ClusterName.outbound(self.host, "", self.subset).place


@dataclass(frozen=True)
class Route:
    """One route: its conditions, all of which must hold (none: every request), its destinations, and its route actions.

    `treatment` has a line for each of timeout, retries, fault, mirror, rewrite and changed headers that differs from Istio's defaults.
    `answer` is set when the proxy answers without sending the request on: a redirect, or a direct response.
    """

    conditions: tuple[str, ...]
    shares: tuple[Share, ...]
    treatment: tuple[str, ...] = ()
    answer: str = ""

    @property
    def fits(self) -> str:
        """Which requests it matches, as text."""
        return " and ".join(self.conditions) or "every request"

    @property
    def goes(self) -> str:
        """Destinations and route actions, as text: `web v1 (90 of 100) or web v2 (10 of 100); timeout 1 s`."""
        total = sum(share.weight for share in self.shares)
        places = [share.place + (f" ({share.weight} of {total})" if len(self.shares) > 1 else "") for share in self.shares]
        return "; ".join([" or ".join(places) or self.answer or "the proxy answers by itself", *self.treatment])


def of(connection: Connection, namespace: str, virtual_service: str, *, proxy: str = INGRESS) -> tuple[Route, ...]:
    """The routes that `proxy` holds because of one VirtualService. Raises MeshError when the proxy cannot be read."""
    return read(istioctl.read_json(connection, "proxy-config", "routes", proxy), namespace, virtual_service)


def tables(port: int) -> tuple[str, ...]:
    """Names of the route tables for a gateway's port `port`, the most likely first: port 80 may be 8080 inside the pod."""
    return (f"{TABLE}8080", f"{TABLE}80") if port == settings.HTTP_PORT else (f"{TABLE}{port}",)


def healthy(clusters: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """The addresses held as healthy, by cluster: `outbound|80|v2|web.canary.svc.cluster.local` -> {"10.244.0.13"}.

    Takes the JSON of `proxy-config endpoints`.
    """
    return {str(cluster.get("name")): frozenset(_healthy(cluster)) for cluster in clusters}


def _healthy(cluster: Mapping[str, Any]) -> Iterator[str]:
    for host in cluster.get("hostStatuses", ()):
        if host.get("healthStatus", {}).get("edsHealthStatus") == "HEALTHY":
            yield str(host.get("address", {}).get("socketAddress", {}).get("address", ""))


def read(configuration: list[dict[str, Any]], namespace: str, virtual_service: str) -> tuple[Route, ...]:
    """The routes of one VirtualService in the JSON of `proxy-config routes`."""
    wanted = ORIGIN.format(namespace, virtual_service)
    every = (route for table in configuration for host in table.get("virtualHosts", ()) for route in host.get("routes", ()))
    return tuple(from_envoy(route) for route in every if origin(route) == wanted)


def origin(route: Mapping[str, Any]) -> str:
    """The path of the object that a route comes from, by its metadata; empty for Istio's own routes."""
    found = route.get("metadata", {}).get("filterMetadata", {}).get("istio", {}).get("config", "")
    return str(found)


def from_envoy(route: Mapping[str, Any]) -> Route:
    """One route of a route table."""
    action = route.get("route", {})
    weighted = action.get("weightedClusters", {}).get("clusters")
    named = weighted if weighted is not None else ([{"name": action["cluster"], "weight": 1}] if "cluster" in action else [])
    shares = _shares([_share(cluster["name"], int(cluster.get("weight", 0))) for cluster in named])
    return Route(tuple(conditions(route.get("match", {}))), shares, route_actions.held(route), route_actions.own_answer(route))


def conditions(match: Mapping[str, Any]) -> Iterator[str]:
    """Each condition of a route's match as text, none when it matches every request: `uri prefix /api`, `not x-team exact a`."""
    anyhow = " in any case" if match.get("caseSensitive") is False else ""
    for key, value in match.items():
        if key in _PATHS and (key, value) != ("prefix", "/"):
            yield f"uri {_PATHS[key]} {value.get('regex', '') if isinstance(value, Mapping) else value}{anyhow}"
    for header in match.get("headers", ()):
        yield _compared(header, str(header.get("name", "")).lower(), "presentMatch")
    for parameter in match.get("queryParameters", ()):
        yield _compared(parameter, f"query {parameter.get('name', '')}", "presentMatch")
    for key in sorted(set(match) - {*_PATHS, "headers", "queryParameters", "caseSensitive"}):
        yield f"{key} {_plain(match[key])}"


_PATHS: Final = {"prefix": "prefix", "path": "exact", "safeRegex": "regex", "pathSeparatedPrefix": "at or below"}


def _compared(matcher: Mapping[str, Any], name: str, present: str) -> str:
    """A condition on one value. Without a value to compare with, Envoy checks only that the header is present."""
    inverted = bool(matcher.get("invertMatch"))
    match = matcher.get("stringMatch")
    if not isinstance(match, Mapping):
        odd = {key: value for key, value in matcher.items() if key not in {"name", present, "invertMatch", "treatMissingHeaderAsEmpty"}}
        there = bool(matcher.get(present, True)) is not inverted
        return f"{'not ' * inverted}{name} {_plain(odd)}" if odd else f"{name} {'present' if there else 'absent'}"
    kind, value = next(((key, each) for key, each in match.items() if key != "ignoreCase"), ("", ""))
    text = value.get("regex", _plain(value)) if isinstance(value, Mapping) else str(value)
    words = f"{name} {'regex' if kind == 'safeRegex' else kind} {text}".rstrip()
    return f"{'not ' * inverted}{words}{' in any case' * bool(match.get('ignoreCase'))}"


def _plain(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _share(cluster: str, weight: int) -> Share:
    name = ClusterName.parse(cluster)
    return Share(name.host, name.subset, weight)


def _shares(found: list[Share]) -> tuple[Share, ...]:
    """Leaves out weight 0; a single destination has weight 1, since Istio and Envoy may write that in either way."""
    live = [share for share in found if share.weight > 0]
    if len(live) == 1:
        live = [Share(live[0].host, live[0].subset, 1)]
    return tuple(sorted(live, key=lambda share: (share.host, share.subset)))
