"""Has the mesh taken in what the API server holds? Waiting for istiod's push without guessing a delay.

`kubectl apply` returns when the API server has stored an object. istiod then translates it and pushes it to the proxies, and
until that has arrived Envoy goes on as before. Comes in: a Connection and a namespace. Goes out: how long it took until the
ingress gateway held what the namespace's VirtualServices and DestinationRules say. Who runs it: lab and checks, before they measure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcourse.mesh import istioctl, proxies, resources
from meshcourse.mesh.connection import Connection

_GROUP = "networking.istio.io"


@dataclass(frozen=True)
class Arrival:
    """`missing` names what the gateway does not hold yet (empty: all has arrived); `seconds` is how long was waited."""

    seconds: float
    virtual_services: tuple[str, ...]
    subsets: tuple[str, ...]
    missing: tuple[str, ...]


def wait(connection: Connection, namespace: str, *, timeout: float = 15.0) -> Arrival:
    """Wait until the ingress gateway holds the namespace's routes and subsets, or `timeout` seconds have passed.

    A VirtualService that no gateway of the namespace carries is left out. Raises MeshError when the gateway cannot be asked.
    """
    started = time.monotonic()
    while True:
        services = [item for item in listed(connection, namespace, "virtualservices") if carried_by_a_gateway(item)]
        rules = listed(connection, namespace, "destinationrules")
        wanted = expected_clusters(rules)
        configuration = istioctl.read_json(connection, "proxy-config", "routes", proxies.INGRESS)
        missing = [
            f"VirtualService {item['metadata']['name']}"
            for item in services
            if not same(proxies.read(configuration, namespace, item["metadata"]["name"]), proxies.described_by(item))
        ]
        if wanted:
            held = {tuple(name.split("|")[2:4]) for name in proxies.clusters(connection) if name.count("|") >= 3}  # noqa: PLR2004 - direction|port|subset|host
            missing += [f"subset {subset} of {host}" for host, subset in sorted(wanted) if (subset, host) not in held]
        seconds = time.monotonic() - started
        if not missing or seconds > timeout:
            names = tuple(sorted(str(item["metadata"]["name"]) for item in services))
            return Arrival(seconds, names, tuple(sorted(subset for _, subset in wanted)), tuple(missing))
        time.sleep(0.1)


def same(held: tuple[proxies.Route, ...], wanted: tuple[proxies.Route, ...]) -> bool:
    """Whether both hold the same routes; the order is left out, since gateways move catch-all routes to the end."""
    return sorted(map(repr, held)) == sorted(map(repr, wanted))


def carried_by_a_gateway(virtual_service: Mapping[str, Any]) -> bool:
    """Whether it names a gateway other than `mesh`, which stands for the sidecars."""
    return any(name != "mesh" for name in virtual_service.get("spec", {}).get("gateways", ()))


def expected_clusters(rules: list[dict[str, Any]], domain: str = "cluster.local") -> frozenset[tuple[str, str]]:
    """(host, subset) for each subset of the DestinationRules."""
    found = set()
    for rule in rules:
        host, namespace = str(rule["spec"].get("host", "")), rule["metadata"]["namespace"]
        full = host if "." in host else f"{host}.{namespace}.svc.{domain}"
        found |= {(full, str(subset["name"])) for subset in rule["spec"].get("subsets", ())}
    return frozenset(found)


def listed(connection: Connection, namespace: str, plural: str) -> list[dict[str, Any]]:
    """The namespace's Istio networking objects of one kind; none when Istio's kinds are not installed."""
    found = resources.read(connection.custom().list_namespaced_custom_object, _GROUP, "v1", namespace, plural)
    return list(found["items"]) if found else []
