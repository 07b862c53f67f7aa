"""Has the mesh taken in what the API server holds? Waiting for istiod's push without guessing a delay.

`kubectl apply` returns when the API server has stored an object. istiod then translates it and pushes it to the proxies, and until that has
arrived Envoy goes on as before; the same holds for a pod that has just become ready.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self

from meshcourse.core import errors, settings
from meshcourse.kube import api_versions, pods, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import admin, config_dump, traffic_policy
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation

Json = dict[str, Any]
MERGE_WINDOW: Final = 1.1
"""Seconds, and a little more, for which Envoy may collect changes of health before its workers see them (update_merge_window, 1 s).

istiod announces a pod before it is ready, as unhealthy; its getting ready is such a change, and Envoy's own listing shows it early.
"""
_FRESH: Final = 5.0
INGRESS: Final = "ingressgateway"


@dataclass(frozen=True)
class Arrival:
    """`missing` names what the proxies do not hold yet (empty: all has arrived); `seconds` is how long was waited."""

    seconds: float
    virtual_services: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Subset:
    """What a DestinationRule's subset, or a whole Service (`name` is empty), comes to: the addresses of its ready pods.

    Envoy should know these as healthy. `fresh` says that one of them got ready only seconds ago.
    """

    host: str
    name: str
    addresses: frozenset[str]
    fresh: bool


def wait(connection: Connection, namespace: str, *, timeout: float = 15.0) -> Arrival:
    """Wait until the gateways and the namespace's sidecars hold what it describes, or `timeout` seconds have passed.

    Raises MeshError when a proxy cannot be asked.
    """
    with Lines(connection) as lines:
        return _watch(lines, namespace, timeout)


def _watch(lines: Lines, namespace: str, timeout: float) -> Arrival:
    connection, started = lines.connection, time.monotonic()
    complete: float | None = None
    while True:
        every, rules = listed(connection, namespace, "virtualservices"), listed(connection, namespace, "destinationrules")
        services = [item for item in every if carried_by_a_gateway(item)]
        subsets = list(_subsets(connection, namespace, services, rules))
        missing = [*_doors(lines, namespace, services), *_pods(lines, subsets)]
        missing += _in_sidecars(lines, namespace, [item for item in every if carried_by_sidecars(item)], rules)
        now = time.monotonic()
        complete = None if missing else complete or now
        settled = complete is not None and (now - complete >= MERGE_WINDOW or not any(subset.fresh for subset in subsets))
        seconds = now - started
        if settled or seconds > timeout:
            return Arrival(seconds, tuple(sorted(str(item["metadata"]["name"]) for item in services)), tuple(missing))
        time.sleep(0.1)


class Lines:
    """A line to each proxy that is asked, kept open from one look to the next."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._open: dict[tuple[str, str], admin.Line] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._open.values():
            line.close()

    def to(self, namespace: str, pod: str) -> admin.Line:
        """The line to one pod's proxy."""
        return self._open.setdefault((namespace, pod), admin.Line(self.connection, namespace, pod))

    def to_gateway(self, role: str) -> admin.Line:
        """The line to a ready pod of a gateway ("ingressgateway"). Raises MeshError when there is none."""
        found = resources.read(self.connection.core().list_namespaced_pod, installation.NAMESPACE).items
        names = [str(pod.metadata.name) for pod in found if (pod.metadata.labels or {}).get("istio") == role and pods.is_ready(pod)]
        if not names:
            raise errors.MeshError(
                f"No pod of istio-{role} is ready.",
                why="so nobody can say what it holds",
                next=f"kubectl -n {installation.NAMESPACE} get pods",
            )
        return self.to(installation.NAMESPACE, names[0])


def _doors(lines: Lines, namespace: str, services: list[Json]) -> Iterator[str]:
    """Gateways and VirtualServices that the gateways' Envoys do not hold."""
    gateways = listed(lines.connection, namespace, "gateways")
    for role in (INGRESS, "egressgateway"):
        doors = [item for item in gateways if serves_http(item, role)]
        others = frozenset(spelling for item in gateways if not serves_http(item, role) for spelling in _spellings(item, namespace))
        own = frozenset(spelling for item in doors for spelling in _spellings(item, namespace))
        read = {str(item["metadata"]["name"]): readers(item, own, others, strangers=role == INGRESS) for item in services}
        if not doors and not any(read.values()):
            continue
        gateway = lines.to_gateway(role)
        configuration = gateway.routes()
        if doors and not _opened(configuration, gateway.ports(), lines.connection.gateway_port):
            yield f"Gateway {doors[0]['metadata']['name']}"
        for item in services:
            name = str(item["metadata"]["name"])
            wanted = config_dump.described_by(item, gateways=read[name])
            if read[name] and not same(config_dump.read(configuration, namespace, name), wanted):
                yield f"VirtualService {name}"


def _opened(configuration: list[Json], ports: frozenset[str], port: int) -> bool:
    """Whether a gateway has an HTTP route table, such as `http.8080`, and takes connections at its port: the table comes first.

    Any table will do, but for a learner (whose `port` is not everybody's) only the own one.
    """
    names = {str(table.get("name", "")) for table in configuration}
    names = names if port == settings.HTTP_PORT else names & set(config_dump.tables(port))
    return any(name.startswith(config_dump.TABLE) and name.removeprefix(config_dump.TABLE) in ports for name in names)


def _spellings(gateway: Mapping[str, Any], namespace: str) -> tuple[str, str]:
    """How a VirtualService may write a Gateway of its own namespace."""
    name = str(gateway["metadata"]["name"])
    return name, f"{namespace}/{name}"


def readers(virtual_service: Mapping[str, Any], own: frozenset[str], others: frozenset[str], *, strangers: bool) -> frozenset[str]:
    """The names in `gateways:` under which one gateway reads a VirtualService: those of `own`, its Gateways.

    With `strangers`, names too that are no Gateway of this namespace (`others` are its Gateways elsewhere): they may be anything.
    """
    named = frozenset(virtual_service.get("spec", {}).get("gateways") or ()) - {"mesh"}
    return named & own | (named - own - others if strangers else frozenset())


def _in_sidecars(lines: Lines, namespace: str, services: list[Json], rules: list[Json]) -> list[str]:
    """What the sidecars of the namespace's ready pods lack; several are asked at once."""
    limited = [rule for rule in rules if _full(str(rule["spec"].get("host", "")), namespace) is not None]
    if not services and not limited:
        return []
    found = resources.read(lines.connection.core().list_namespaced_pod, namespace).items
    names = [str(pod.metadata.name) for pod in found if pods.is_ready(pod) and sidecars.has_sidecar(pod)]

    def lacking(name: str) -> list[str]:
        try:
            return _lacking(lines.to(namespace, name), name, namespace, services, limited)
        except errors.KubernetesError:
            return [f"the proxy of pod {name}"]  # just deleted, mostly; the next look asks only those that are there

    with ThreadPoolExecutor(max_workers=4) as several:
        return [missing for found in several.map(lacking, names) for missing in found]


def _lacking(line: admin.Line, pod: str, namespace: str, services: list[Json], rules: list[Json]) -> list[str]:
    missing = []
    if services:
        held = line.routes()
        for item in services:
            routes = config_dump.read(held, namespace, item["metadata"]["name"])
            # A host with several ports has its routes in several tables.
            if set(map(repr, routes)) != set(map(repr, config_dump.described_by(item, gateways=frozenset({"mesh"})))):
                missing.append(f"VirtualService {item['metadata']['name']} in {pod}")
    if rules:
        clusters = line.clusters()
        for rule in rules:
            host = _full(str(rule["spec"]["host"]), namespace) or ""
            for subset, policy in traffic_policy.described_by(rule):
                cluster = traffic_policy.find(clusters, host, subset)
                if cluster is None or traffic_policy.held(cluster) != policy:
                    missing.append(f"DestinationRule {rule['metadata']['name']}{f' subset {subset}' if subset else ''} in {pod}")
    return missing


def _full(host: str, namespace: str, domain: str = "cluster.local") -> str | None:
    """The full name of a Service of the namespace itself; None for any other host."""
    service, _, rest = host.partition(".")
    return f"{service}.{namespace}.svc.{domain}" if rest in {"", namespace, f"{namespace}.svc", f"{namespace}.svc.{domain}"} else None


def _pods(lines: Lines, wanted: list[Subset]) -> Iterator[str]:
    """Subsets and Services whose ready pods are not those that the gateway's Envoy holds as healthy."""
    if not wanted:
        return
    every = config_dump.healthy(lines.to_gateway(INGRESS).addresses())
    held = {tuple(name.split("|")[2:4]): addresses for name, addresses in every.items() if name.count("|") == 3}  # noqa: PLR2004 - direction|port|subset|host
    for subset in wanted:
        if held.get((subset.name, subset.host), frozenset()) != subset.addresses:
            yield f"subset {subset.name} of {subset.host}" if subset.name else f"the pods of {subset.host}"


def _subsets(connection: Connection, namespace: str, services: list[Json], rules: list[Json]) -> Iterator[Subset]:
    """The rules' subsets, and the Services that gateways send to without one, with their ready pods.

    Only those of the namespace itself are there, which is all that lessons use.
    """
    wanted = [
        (rule["spec"].get("host"), each["name"], each.get("labels") or {}) for rule in rules for each in rule["spec"].get("subsets", ())
    ]
    wanted += [(host, "", {}) for host in sorted({host for item in services for host in _without_subset(item)})]
    own = [(str(host), str(name), labels) for host, name, labels in wanted if _full(str(host), namespace)]
    if not own:
        return
    ready = [pod for pod in resources.read(connection.core().list_namespaced_pod, namespace).items if pods.is_ready(pod)]
    every = {each.metadata.name: each for each in resources.read(connection.core().list_namespaced_service, namespace).items}
    for host, name, labels in own:
        found = every.get(host.partition(".")[0])
        if found is None or not found.spec.selector:
            continue
        chosen = {**found.spec.selector, **labels}.items()
        behind = [pod for pod in ready if chosen <= (pod.metadata.labels or {}).items()]
        addresses = frozenset(pod.status.pod_ip for pod in behind)
        yield Subset(_full(host, namespace) or "", name, addresses, any(pods.became_ready(pod) < _FRESH for pod in behind))


def _without_subset(virtual_service: Json) -> Iterator[str]:
    for rule in virtual_service.get("spec", {}).get("http", ()):
        for route in rule.get("route", ()):
            if not route["destination"].get("subset"):
                yield str(route["destination"].get("host", ""))


def same(held: tuple[config_dump.Route, ...], wanted: tuple[config_dump.Route, ...]) -> bool:
    """Whether both hold the same routes; the order is left out, since gateways move catch-all routes to the end."""
    return sorted(map(repr, held)) == sorted(map(repr, wanted))


def carried_by_a_gateway(virtual_service: Mapping[str, Any]) -> bool:
    """Whether it names a gateway other than `mesh`, which stands for the sidecars."""
    return any(name != "mesh" for name in virtual_service.get("spec", {}).get("gateways", ()))


def carried_by_sidecars(virtual_service: Mapping[str, Any]) -> bool:
    """Whether the sidecars read it: it names the gateway `mesh`, or none at all."""
    return "mesh" in (virtual_service.get("spec", {}).get("gateways") or ("mesh",))


def serves_http(gateway: Mapping[str, Any], role: str = "ingressgateway") -> bool:
    """Whether a Gateway opens an HTTP port on the default ingress gateway, or on the egress gateway."""
    spec = gateway.get("spec", {})
    protocols = {str(server.get("port", {}).get("protocol", "")).upper() for server in spec.get("servers", ())}
    return spec.get("selector") == {"istio": role} and "HTTP" in protocols


def listed(connection: Connection, namespace: str, plural: str) -> list[Json]:
    """The namespace's Istio networking objects of one kind; none when Istio's kinds are not installed."""
    found = resources.read(connection.custom().list_namespaced_custom_object, *api_versions.networking(connection), namespace, plural)
    return list(found["items"]) if found else []
