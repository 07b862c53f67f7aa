"""What a namespace asks of Istio: its objects and their revisions, the Services and pods they refer to, and references that match nothing.

Reading blocks: a dozen requests to the API server.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.core.json_types import JsonMapping
from meshcourse.kube import api_versions, pods, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.rules import bindings
from meshcourse.mesh.rules.bindings import Destination, Name, World

REVISION: Final = "istio.io/rev"
FRESH: Final = 5.0
"""A pod counts as fresh for this many seconds after it became ready."""
_FORBIDDEN: Final = 403
_WELL_KNOWN: Final = {80, 443}
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "networking.istio.io": ("virtualservices", "destinationrules", "gateways", "serviceentries", "sidecars", "workloadentries"),
    "security.istio.io": ("authorizationpolicies", "peerauthentications", "requestauthentications"),
}
_ODD: Final = (
    ("networking.istio.io", "v1alpha3", "envoyfilters"),
    ("telemetry.istio.io", "v1", "telemetries"),
    ("telemetry.istio.io", "v1alpha1", "telemetries"),
    ("extensions.istio.io", "v1alpha1", "wasmplugins"),
)
"""Kinds that may have another API version than VirtualServices; those that the cluster does not serve are skipped."""


@dataclass(frozen=True)
class Subset:
    """A DestinationRule's subset, or a whole Service (`name` is empty), with the addresses of its ready pods."""

    host: str
    name: str
    labels: Mapping[str, str]
    pods: tuple[Any, ...]

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses that Envoy should hold as healthy."""
        return frozenset(str(pod.status.pod_ip) for pod in self.pods)


@dataclass(frozen=True)
class Described:
    """A namespace's objects at one moment. `revisions`: (kind, namespace, name) -> resourceVersion of its own; `rules`: DestinationRules.

    `world` and `rules` are the whole cluster's, as far as they may be read.
    """

    connection: Connection
    world: World
    revisions: Mapping[tuple[str, str, str], str]
    rules: tuple[JsonMapping, ...]
    services: Mapping[str, Any]
    tagged: Mapping[tuple[str, str, str], str]
    """Objects for one revision of istiod only, by their label istio.io/rev."""
    kinds: frozenset[str]
    """The kinds that could be read."""

    @property
    def namespace(self) -> str:
        """The namespace's name."""
        return self.world.namespace

    def pods(self) -> list[Any]:
        """Its pods, read now."""
        return list(resources.read(self.connection.core().list_namespaced_pod, self.namespace).items)

    def own_rules(self) -> tuple[JsonMapping, ...]:
        """The namespace's DestinationRules."""
        return tuple(rule for rule in self.rules if bindings.name_of(rule)[0] == self.namespace)

    def through_gateways(self) -> tuple[str, ...]:
        """The names of its VirtualServices that name a gateway."""
        return tuple(sorted(bindings.name_of(item)[1] for item in self.world.own if bindings.gateways_of(item)))

    def subsets(self, every: Iterable[Any]) -> Iterator[Subset]:
        """The rules' subsets, and the Services that are routed to without one, each with those pods of `every` that are ready."""
        wanted = [
            (bindings.full_host(str(rule["spec"].get("host", "")), self.namespace), str(each["name"]), each.get("labels") or {})
            for rule in self.own_rules()
            for each in rule["spec"].get("subsets") or ()
        ]
        wanted += [(host, "", {}) for host in sorted(bindings.whole_services(self.world.own))]
        ready = [pod for pod in every if pods.is_ready(pod)]
        for host, name, labels in wanted:
            service = self.service(host)
            if service is None or not service.spec.selector or service.spec.publish_not_ready_addresses:
                continue
            chosen = {**service.spec.selector, **labels}.items()
            yield Subset(host, name, labels, tuple(pod for pod in ready if chosen <= (pod.metadata.labels or {}).items()))

    def service(self, host: str) -> Any:  # noqa: ANN401 - the Kubernetes client is untyped
        """The namespace's own Service of this full name, or None."""
        name, _, rest = host.partition(".")
        return self.services.get(name) if rest == f"{self.namespace}.{bindings.DOMAIN}" else None

    def fresh(self, every: Iterable[Any]) -> bool:
        """Whether a pod that is routed to became ready only seconds ago."""
        return any(pods.became_ready(pod) < FRESH for subset in self.subsets(every) for pod in subset.pods)


def read(connection: Connection, namespace: str) -> Described:
    """The namespace as it is now. Raises KubernetesError when there is no such namespace, or the API server cannot be asked."""
    found = resources.read(connection.core().read_namespace, namespace)
    if found is None or found.metadata.deletion_timestamp is not None:
        raise errors.KubernetesError(
            f"There is no namespace {namespace}." if found is None else f"Namespace {namespace} is being deleted.",
            why="it was deleted with everything in it, or never created",
            next="kubectl get namespaces    # in a chapter: run its first cell again",
        )
    version = api_versions.networking(connection)[1]
    kinds = [*((group, version, plural) for group, plurals in _GROUPS.items() for plural in plurals), *_ODD]
    with ThreadPoolExecutor(max_workers=4) as several:
        listed = several.map(lambda kind: _everywhere(connection, *kind, namespace=namespace), kinds)
        found_kinds = list(listed)
        every = {plural: items for (_, _, plural), (_, items) in zip(kinds, found_kinds, strict=True) if items}
    revisions = {
        (str(item["kind"]), namespace, bindings.name_of(item)[1]): str(item["metadata"]["resourceVersion"])
        for items in every.values()
        for item in items
        if bindings.name_of(item)[0] == namespace
    }
    labels = {
        (str(item["kind"]), *bindings.name_of(item)): str((item["metadata"].get("labels") or {}).get(REVISION, ""))
        for items in every.values()
        for item in items
    }
    tagged = {key: label for key, label in labels.items() if label and key in revisions}
    services = {str(each.metadata.name): each for each in resources.read(connection.core().list_namespaced_service, namespace).items}
    gateways = {bindings.name_of(item): item for item in every.get("gateways", ())}
    virtual_services = tuple(every.get("virtualservices", ()))
    used = {where for where in gateways if where[0] == namespace} | {
        where for item in virtual_services if bindings.name_of(item)[0] == namespace for where in bindings.gateways_of(item)
    }
    behind = {where: _gateway_pods(connection, gateways[where]) for where in sorted(used & set(gateways))}
    return Described(
        connection,
        World(namespace, gateways, virtual_services, behind),
        revisions,
        tuple(every.get("destinationrules", ())),
        services,
        tagged,
        frozenset(dict(found_kinds)),
    )


def _everywhere(connection: Connection, group: str, version: str, plural: str, *, namespace: str) -> tuple[str, list[JsonMapping]]:
    """A kind's name and its objects in the whole cluster or, without that right, in the namespace; none for an unknown kind."""
    api = connection.custom()
    try:
        found = resources.read(api.list_cluster_custom_object, group, version, plural)
    except errors.KubernetesError as error:
        if error.code != _FORBIDDEN:
            raise
        found = _allowed(api.list_namespaced_custom_object, group, version, namespace, plural)
    # On some API versions the items of a list do not have their kind; the list does.
    kind = str(found["kind"]).removesuffix("List") if found else ""
    return kind, [{**item, "kind": kind} for item in found["items"]] if found else []


def _allowed(call: Callable[..., Any], *arguments: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return resources.read(call, *arguments)
    except errors.KubernetesError as error:
        if error.code != _FORBIDDEN:
            raise
        return None


def _gateway_pods(connection: Connection, gateway: JsonMapping) -> tuple[Name, ...]:
    """The ready pods with an Envoy that a Gateway's selector matches: in all namespaces or, without that right, in its own."""
    core = connection.core()
    selector = ",".join(f"{key}={value}" for key, value in sorted((gateway.get("spec", {}).get("selector") or {}).items()))
    try:
        found = resources.read(functools.partial(core.list_pod_for_all_namespaces, label_selector=selector)).items
    except errors.KubernetesError as error:
        if error.code != _FORBIDDEN:
            raise
        found = resources.read(functools.partial(core.list_namespaced_pod, label_selector=selector), bindings.name_of(gateway)[0]).items
    ready = [pod for pod in found if pods.is_ready(pod) and sidecars.has_sidecar(pod)]
    return tuple((str(pod.metadata.namespace), str(pod.metadata.name)) for pod in ready)


def without_pods(found: Described, every: Iterable[Any]) -> Iterator[str]:
    """A sentence for each destination that Envoy holds and that has no ready pod, as far as it is a Service of the namespace."""
    defined = {
        (bindings.full_host(str(rule["spec"].get("host", "")), bindings.name_of(rule)[0]), str(subset["name"]))
        for rule in found.rules
        for subset in rule["spec"].get("subsets") or ()
    }
    empty = []
    for subset in found.subsets(every):
        if not subset.pods:
            labels = ", ".join(f"{key}={value}" for key, value in subset.labels.items())
            service = subset.host.partition(".")[0]
            empty.append(f"subset {subset.name} of {service} ({labels})" if subset.name else f"Service {service}")
    if empty:
        yield f"no ready pod is in {', '.join(empty)}: requests sent there are answered with 503"
    for wanted in sorted(bindings.destinations(found.world.own)):
        if why := _absent(found, wanted, defined):
            yield f"VirtualService {wanted.virtual_service} sends requests to {why}: they get 503"


def _absent(found: Described, wanted: Destination, defined: set[tuple[str, str]]) -> str:
    """What the mesh does not have of a destination, with the reason; "" when it has all, or cannot be asked."""
    service, _, rest = wanted.host.partition(".")
    namespace, _, domain = rest.partition(".")
    try:
        if domain != bindings.DOMAIN:
            return _not_outside(found.connection, wanted.host)
        there = found.service(wanted.host) or resources.read(found.connection.core().read_namespaced_service, service, namespace)
    except errors.KubernetesError:  # not this user's to read
        return ""
    if there is None:
        return f"{service}: there is no such Service in namespace {namespace}"
    return _missing_part(wanted, service, [int(port.port) for port in there.spec.ports or ()], defined)


def _missing_part(wanted: Destination, service: str, ports: list[int], defined: set[tuple[str, str]]) -> str:
    """The port or the subset that an existing Service lacks."""
    known = ", ".join(map(str, ports))
    if wanted.port and wanted.port not in ports:
        return f"port {wanted.port} of {service}, which has only {known or 'none'}"
    if not wanted.port and len(ports) > 1 and not _WELL_KNOWN & set(ports):  # a gateway then takes the number that it listens at itself
        return f"{service} without one of its ports {known}"
    if wanted.subset and (wanted.host, wanted.subset) not in defined:
        return f"subset {wanted.subset} of {service}, which no DestinationRule defines"
    return ""


def _not_outside(connection: Connection, host: str) -> str:
    """The sentence for a host that is neither a Service's whole name nor that of a ServiceEntry anywhere in the cluster."""
    listed = resources.read(connection.custom().list_cluster_custom_object, *api_versions.networking(connection), "serviceentries")
    known = {str(each) for item in listed["items"] for each in item["spec"].get("hosts") or ()}
    if any(fnmatch.fnmatchcase(host, each) for each in known):
        return ""
    whole = f" (a Service's whole name ends with .{bindings.DOMAIN})" if host.count(".") == 1 else ""
    return f"{host}, which is neither a Service{whole} nor the host of a ServiceEntry"


def ports(connection: Connection, gateway: JsonMapping, pod: Name) -> frozenset[str]:
    """The ports inside a gateway's pod that a Gateway opens: 8080 for 80, where a Service maps 80 to 8080."""
    core = connection.core()
    labels = (resources.read(core.read_namespaced_pod, pod[1], pod[0]).metadata.labels or {}).items()
    services = [
        each for each in resources.read(core.list_namespaced_service, pod[0]).items if (each.spec.selector or {"": ""}).items() <= labels
    ]
    inside = {int(port.port): port.target_port for service in services for port in service.spec.ports or ()}
    wanted = (int(server.get("port", {}).get("number", 0)) for server in gateway.get("spec", {}).get("servers") or ())
    return frozenset(str(inside.get(number) or number) for number in wanted if str(inside.get(number) or number).isdigit())


def secrets(connection: Connection, gateway: JsonMapping, pod: Name) -> str:
    """`: there is no Secret web-cert in namespace istio-system`, for certificates that a Gateway names and that do not exist."""
    named = {
        str(server["tls"]["credentialName"])
        for server in gateway["spec"].get("servers") or ()
        if server.get("tls", {}).get("credentialName")
    }
    try:
        absent = [name for name in sorted(named) if resources.read(connection.core().read_namespaced_secret, name, pod[0]) is None]
    except errors.KubernetesError:
        return ""
    return f": there is no Secret {', '.join(absent)} in namespace {pod[0]}" if absent else ""
