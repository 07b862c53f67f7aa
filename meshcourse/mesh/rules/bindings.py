"""Which Envoys a Gateway and a VirtualService are for, and why none would use them: wrong names, selectors and hosts.

Pure: it reads the objects alone. What is found here holds whatever istiod does, so that it can be reported without waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from meshcourse.core.json_types import JsonMapping

Name = tuple[str, str]
"""(namespace, name)."""
MESH: Final = "mesh"
DOMAIN: Final = "svc.cluster.local"


@dataclass(frozen=True)
class World:
    """The cluster's Gateways and VirtualServices, and the labels of running pods, as the surroundings of the objects in `namespace`."""

    namespace: str
    gateways: Mapping[Name, JsonMapping]
    virtual_services: tuple[JsonMapping, ...]
    gateway_pods: Mapping[Name, tuple[Name, ...]]
    """For each Gateway, the ready pods that its selector matches."""

    @property
    def own(self) -> tuple[JsonMapping, ...]:
        """The namespace's VirtualServices."""
        return tuple(each for each in self.virtual_services if name_of(each)[0] == self.namespace)


def name_of(item: JsonMapping) -> Name:
    """(namespace, name) of an object."""
    return str(item["metadata"].get("namespace", "")), str(item["metadata"]["name"])


def gateways_of(virtual_service: JsonMapping) -> tuple[Name, ...]:
    """The full names of the Gateways that a VirtualService names; `mesh`, which means the sidecars, is left out."""
    namespace, _ = name_of(virtual_service)
    named = (str(each) for each in virtual_service.get("spec", {}).get("gateways") or ())
    return tuple(_whole(each, namespace) for each in named if each != MESH)


def _whole(name: str, namespace: str) -> Name:
    """The full name for `web`, `shop/web`, and the old `web.shop.svc.cluster.local`."""
    where, slash, bare = name.partition("/")
    if slash:
        return (namespace if where == "." else where), bare
    if name.endswith(DOMAIN):
        bare, where = name.split(".")[:2]
        return where, bare
    return namespace, name


def for_sidecars(virtual_service: JsonMapping) -> bool:
    """Whether sidecars read it: it names the gateway `mesh`, or none at all. Without hosts it is a delegate of others."""
    spec = virtual_service.get("spec", {})
    return bool(spec.get("hosts")) and MESH in (spec.get("gateways") or (MESH,))


def exported(virtual_service: JsonMapping) -> frozenset[str]:
    """The namespaces whose proxies see a VirtualService; `*` for all."""
    namespace, _ = name_of(virtual_service)
    return frozenset(namespace if each == "." else str(each) for each in virtual_service.get("spec", {}).get("exportTo") or ("*",))


def full_host(host: str, namespace: str) -> str:
    """A Service's short name made full, as Istio does for rules of `namespace`; any other host unchanged."""
    return host if "." in host or "*" in host else f"{host}.{namespace}.{DOMAIN}"


def delegates(virtual_service: JsonMapping) -> Iterator[Name]:
    """The VirtualServices that a VirtualService delegates to."""
    namespace, _ = name_of(virtual_service)
    for rule in virtual_service.get("spec", {}).get("http") or ():
        if target := rule.get("delegate"):
            yield str(target.get("namespace") or namespace), str(target.get("name", ""))


def unheld(world: World) -> Iterator[str]:
    """A sentence for each Gateway and VirtualService of the namespace that no Envoy can hold, with the reason."""
    for where, gateway in world.gateways.items():
        if where[0] == world.namespace and not world.gateway_pods.get(where):
            yield f"Gateway {where[1]}: {_without_pods(gateway)}"
    for item in world.own:
        yield from (f"VirtualService {name_of(item)[1]}: {why}" for why in _mistakes(item, world))


def _without_pods(gateway: JsonMapping) -> str:
    selector = ", ".join(f"{key}={value}" for key, value in (gateway.get("spec", {}).get("selector") or {}).items())
    return f"no ready pod in the cluster has the label {selector} of its selector, so no Envoy reads it"


def _mistakes(item: JsonMapping, world: World) -> Iterator[str]:
    hosts = [str(host) for host in item.get("spec", {}).get("hosts") or ()]
    known = {name_of(each) for each in world.virtual_services}
    for target in delegates(item):
        if target not in known:
            yield f"it delegates to VirtualService {_shown(target, world.namespace)}, which does not exist"
    if not hosts:
        if not any(name_of(item) in set(delegates(each)) for each in world.virtual_services):
            yield "it has no hosts, and no other VirtualService delegates to it"
        return
    for where in gateways_of(item):
        gateway = world.gateways.get(where)
        shown = _shown(where, world.namespace)
        if gateway is None:
            alone = len(gateways_of(item)) == 1
            yield f"there is no Gateway {shown}, so {'no gateway reads it' if alone else 'it is not read there'}"
        elif not world.gateway_pods.get(where):
            if where[0] != world.namespace:
                yield f"Gateway {shown}: {_without_pods(gateway)}"
        elif not exported(item) & {"*", *(pod[0] for pod in world.gateway_pods[where])}:
            yield f"its exportTo leaves out the namespace of the pods of Gateway {shown}, so they do not see it"
        elif not any(_opened(gateway, host, world.namespace) for host in hosts):
            yield f"its hosts ({', '.join(hosts)}) are not among those of Gateway {shown} ({', '.join(_hosts(gateway))})"


def held_by(item: JsonMapping, world: World) -> dict[Name, tuple[Name, ...]]:
    """For each Gateway that a VirtualService matches, the pods that should hold it."""
    hosts = [str(host) for host in item.get("spec", {}).get("hosts") or ()]
    found = {}
    for where in gateways_of(item):
        gateway, pods = world.gateways.get(where), world.gateway_pods.get(where, ())
        seen = exported(item) & {"*", *(pod[0] for pod in pods)}
        if gateway is not None and seen and any(_opened(gateway, host, world.namespace) for host in hosts):
            found[where] = pods
    return found


def _shown(name: Name, namespace: str) -> str:
    return name[1] if name[0] == namespace else f"{name[0]}/{name[1]}"


def _hosts(gateway: JsonMapping) -> list[str]:
    return [str(host) for server in gateway.get("spec", {}).get("servers") or () for host in server.get("hosts") or ()]


def _opened(gateway: JsonMapping, host: str, namespace: str) -> bool:
    """Whether a Gateway allows a VirtualService of `namespace` the host `host`: `*/host`, `./host` and wildcards on both sides."""
    own, _ = name_of(gateway)
    for each in _hosts(gateway):
        where, slash, name = each.partition("/")
        where, name = (where, name) if slash else ("*", each)
        if where not in {"*", namespace} and not (where == "." and own == namespace):
            continue
        if _overlap(name, full_host(host, namespace)) or _overlap(name, host):
            return True
    return False


def _overlap(one: str, other: str) -> bool:
    one, other = one.lower(), other.lower()
    return one == other or any(wild.startswith("*") and name.endswith(wild[1:]) for wild, name in ((one, other), (other, one)))


def shadowed(item: JsonMapping, world: World) -> str:
    """An older VirtualService for sidecars with the same host: of two for one host, Istio's sidecars read only the older."""
    namespace, name = name_of(item)
    mine = {full_host(str(host), namespace) for host in item.get("spec", {}).get("hosts") or ()}
    born = str(item["metadata"].get("creationTimestamp", ""))
    for other in world.virtual_services:
        where, their = name_of(other)
        if (where, their) == (namespace, name) or not for_sidecars(other):
            continue
        theirs = {full_host(str(host), where) for host in other["spec"]["hosts"]}
        if mine & theirs and (str(other["metadata"].get("creationTimestamp", "")), their, where) < (born, name, namespace):
            return _shown((where, their), namespace)
    return ""


class Destination(NamedTuple):
    """Where a VirtualService sends requests: subset "" is the whole Service, port 0 its only one."""

    virtual_service: str
    host: str
    subset: str
    port: int


def destinations(items: Iterable[JsonMapping]) -> set[Destination]:
    """Everything that the VirtualServices send requests to, with full hosts."""
    found = set()
    for item in items:
        namespace, name = name_of(item)
        spec = item.get("spec", {})
        for rule in (*(spec.get("http") or ()), *(spec.get("tcp") or ()), *(spec.get("tls") or ())):
            for route in rule.get("route") or ():
                target = route.get("destination", {})
                port = int((target.get("port") or {}).get("number", 0))
                found.add(Destination(name, full_host(str(target.get("host", "")), namespace), str(target.get("subset", "")), port))
    return found


def whole_services(items: Iterable[JsonMapping]) -> set[str]:
    """The full hosts that the VirtualServices send requests to without naming a subset."""
    return {each.host for each in destinations(items) if not each.subset}
