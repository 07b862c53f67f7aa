"""What an Envoy holds: its routes, as `istioctl proxy-config routes` reads them from the running proxy.

The reading of JSON is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import settings
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.install import installation, istioctl

INGRESS: Final = f"deploy/{installation.INGRESS}.{installation.NAMESPACE}"
TABLE: Final = "http."
"""What the name of a gateway's table of plain HTTP begins with; the port inside the pod follows."""
_CONFIG: Final = "/apis/networking.istio.io/v1/namespaces/{}/virtual-service/{}"


@dataclass(frozen=True)
class Share:
    """One destination of a route. An empty `subset` means the whole Service; weights are relative to their sum."""

    host: str
    subset: str
    weight: int

    @property
    def place(self) -> str:
        """In a word or two: `reviews v2`."""
        return " ".join(filter(None, (self.host.partition(".")[0], self.subset)))


@dataclass(frozen=True)
class Route:
    """One route: the conditions, all of which must hold (none: every request), where it then goes, and how it is treated.

    `treatment` has a line for each of timeout, retries, fault and mirror that differs from what Istio does unasked.
    """

    conditions: tuple[str, ...]
    shares: tuple[Share, ...]
    treatment: tuple[str, ...] = ()

    @property
    def fits(self) -> str:
        """Which requests it takes, in words."""
        return " and ".join(self.conditions) or "every request"

    @property
    def goes(self) -> str:
        """Where they go and how they are treated, in words: `web v1 (90 of 100) or web v2 (10 of 100); timeout 1 s`."""
        total = sum(share.weight for share in self.shares)
        places = [share.place + (f" ({share.weight} of {total})" if len(self.shares) > 1 else "") for share in self.shares]
        return "; ".join([" or ".join(places) or "the proxy answers by itself", *self.treatment])


def of(connection: Connection, namespace: str, virtual_service: str, *, proxy: str = INGRESS) -> tuple[Route, ...]:
    """The routes that `proxy` holds because of one VirtualService. Raises MeshError when the proxy cannot be asked."""
    return read(istioctl.read_json(connection, "proxy-config", "routes", proxy), namespace, virtual_service)


def tables(port: int) -> tuple[str, ...]:
    """Where a gateway keeps what comes in by its port `port`, the most likely first: 80 leads to 8080 inside the pod."""
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
    wanted = _CONFIG.format(namespace, virtual_service)
    every = (route for table in configuration for host in table.get("virtualHosts", ()) for route in host.get("routes", ()))
    return tuple(from_envoy(route) for route in every if origin(route) == wanted)


def origin(route: Mapping[str, Any]) -> str:
    """The path of the object that a route was made of, by its metadata; empty when Istio made it unasked."""
    found = route.get("metadata", {}).get("filterMetadata", {}).get("istio", {}).get("config", "")
    return str(found)


def from_envoy(route: Mapping[str, Any]) -> Route:
    """One route of a route table."""
    match, action = route.get("match", {}), route.get("route", {})
    conditions = [_header(header["name"], _string_match(header)) for header in match.get("headers", ())]
    path = _path(match)
    weighted = action.get("weightedClusters", {}).get("clusters")
    named = weighted if weighted is not None else ([{"name": action["cluster"], "weight": 1}] if "cluster" in action else [])
    shares = _shares([_share(cluster["name"], int(cluster.get("weight", 0))) for cluster in named])
    return Route(tuple(sorted([*path, *conditions])), shares, route_actions.held(route))


def _path(match: Mapping[str, Any]) -> list[str]:
    if "path" in match:
        return [f"uri exact {match['path']}"]
    if "safeRegex" in match:
        return [f"uri regex {match['safeRegex'].get('regex', '')}"]
    prefix = match.get("prefix", "/")
    return [] if prefix == "/" else [f"uri prefix {prefix}"]


def _string_match(header: Mapping[str, Any]) -> tuple[str, str]:
    match = header.get("stringMatch", {})
    for kind in ("exact", "prefix"):
        if kind in match:
            return kind, str(match[kind])
    if "safeRegex" in match:
        return "regex", str(match["safeRegex"].get("regex", ""))
    return "present", ""


def _header(name: str, match: tuple[str, str]) -> str:
    return f"{name.lower()} {match[0]} {match[1]}".strip()


def _share(cluster: str, weight: int) -> Share:
    _, _, subset, host = (*cluster.split("|"), "", "", "")[:4] if "|" in cluster else ("", "", "", cluster)
    return Share(host, subset, weight)


def _shares(found: list[Share]) -> tuple[Share, ...]:
    """Without those of weight 0, and with one that has it all at weight 1, as Istio and Envoy both may write it either way."""
    live = [share for share in found if share.weight > 0]
    if len(live) == 1:
        live = [Share(live[0].host, live[0].subset, 1)]
    return tuple(sorted(live, key=lambda share: (share.host, share.subset)))


def described_by(
    virtual_service: Mapping[str, Any], domain: str = "cluster.local", *, gateways: frozenset[str] | None = None
) -> tuple[Route, ...]:
    """The routes that Istio makes of a VirtualService: one for each match of each http rule, none after a rule that matches all.

    `gateways` are the names under which a proxy reads it ("mesh" for a sidecar): a match that is for others is not one of its routes.
    Covers uri and header matches, weighted destinations, timeouts, retries, faults and mirroring, what the course's lessons use;
    other fields are left out of the comparison.
    """
    namespace = virtual_service["metadata"].get("namespace", "default")
    made: list[Route] = []
    for rule in virtual_service.get("spec", {}).get("http", ()):
        shares = _shares([_destination(entry, namespace, domain, alone=len(rule.get("route", ())) == 1) for entry in rule.get("route", ())])
        for conditions in _conditions(rule, gateways):
            made.append(Route(conditions, shares, route_actions.described_by(rule)))
            if not conditions:
                return tuple(made)
    return tuple(made)


def _destination(entry: Mapping[str, Any], namespace: str, domain: str, *, alone: bool) -> Share:
    destination = entry.get("destination", {})
    host = str(destination.get("host", ""))
    full = host if "." in host else f"{host}.{namespace}.svc.{domain}"
    return Share(full, str(destination.get("subset", "")), 1 if alone else int(entry.get("weight", 0)))


def _conditions(rule: Mapping[str, Any], gateways: frozenset[str] | None) -> Iterator[tuple[str, ...]]:
    for match in rule.get("match") or [{}]:
        if gateways is not None and match.get("gateways") and not gateways & set(match["gateways"]):
            continue
        found = [_header(name, _kind(condition)) for name, condition in (match.get("headers") or {}).items()]
        uri = match.get("uri")
        if uri and uri != {"prefix": "/"}:
            kind, value = _kind(uri)
            found.append(f"uri {kind} {value}")
        yield tuple(sorted(found))


def _kind(condition: Mapping[str, Any]) -> tuple[str, str]:
    kind, value = next(iter(condition.items()), ("present", ""))
    return ("present", "") if (kind, value) == ("regex", "*") else (str(kind), str(value))
