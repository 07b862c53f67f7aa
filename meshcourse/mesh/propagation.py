"""Waits until the mesh has taken in what the API server holds, without guessing a delay.

`kubectl apply` returns when the API server has stored an object. istiod then reads it, translates it and pushes it to the proxies. Until an
Envoy has acknowledged the push it behaves as before; the same holds for a pod that has just become ready. The result depends only on what
istiod has read and the Envoys have acknowledged; the objects' text is read only to explain why no Envoy accepts them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from meshcourse.core.json_types import Json, JsonMapping
from meshcourse.kube import api_versions, pods, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh import described
from meshcourse.mesh.described import Described
from meshcourse.mesh.envoy import admin, config_dump
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation
from meshcourse.mesh.istiod import Istiods, Seen
from meshcourse.mesh.rules import bindings
from meshcourse.mesh.rules.bindings import Name

MERGE_WINDOW: Final = 1.1
"""Seconds, and a little more, for which Envoy may collect changes of health before its workers see them (update_merge_window, 1 s).

istiod announces a pod before it is ready, as unhealthy; becoming ready is such a change, and Envoy's admin API shows it early.
"""
QUIET: Final = 0.35
"""Seconds after which istiod has pushed what it has read: it collects changes for 0.1 s (PILOT_DEBOUNCE_AFTER), longer while more come."""
GRACE: Final = 3.0
"""Seconds for an Envoy that has acknowledged everything and still shows no route or port: a new listener requests its routes afterwards."""
INGRESS: Final = "ingressgateway"


@dataclass(frozen=True)
class Arrival:
    """`missing` names what the proxies do not hold yet (empty: they hold everything); `seconds` is the time waited.

    `unheld`: objects that no Envoy can hold, and why. `rejected`: Envoys that reject what istiod sends, with their messages. `notes`: what
    is held but has no destination, such as a subset without a pod. Each of these three is a sentence.
    """

    seconds: float
    virtual_services: tuple[str, ...]
    missing: tuple[str, ...]
    unheld: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def wait(connection: Connection, namespace: str, *, timeout: float = 15.0) -> Arrival:
    """Wait until the gateways and the namespace's sidecars hold its objects, or `timeout` seconds have passed.

    Ends at once when only rejected configuration is missing. Raises KubernetesError when there is no such namespace, MeshError when istiod
    or a proxy cannot be read.
    """
    found = described.read(connection, namespace)
    with Lines(connection) as lines, Istiods(connection) as istiods:
        return _Watch(lines, istiods, found).until(timeout)


class _Watch:
    """One wait: the objects at its start, and what istiod and the proxies have done since."""

    def __init__(self, lines: Lines, istiods: Istiods, found: Described) -> None:
        self._lines, self._istiods, self._found = lines, istiods, found
        self._received = self._translated = -1.0
        self._started = time.monotonic()
        self._calm: float | None = None
        """The time since when istiod has read everything and received no change."""

    def until(self, timeout: float) -> Arrival:
        """Poll until done. What an Envoy's admin API shows counts only once that Envoy has acknowledged everything."""
        started = time.monotonic()
        acknowledged = complete = None
        while True:
            seen, every = self._istiods.look(), self._found.pods()
            late = [*self._unread(seen), *self._behind(seen, every)]
            rejected = {} if late else self._rejected(seen, every)
            now = time.monotonic()
            acknowledged = None if late else acknowledged or now
            waited = now - acknowledged if acknowledged else 0.0
            missing, unheld = late, list(bindings.unheld(self._found.world))
            unheld += [
                f"{kind} {name}: its label {described.REVISION} is {label}, and no istiod of that revision reads it"
                for (kind, _, name), label in self._foreign(seen).items()
            ]
            if not late:
                missing = [*(name for names in rejected.values() for name in names), *self._endpoints(every)]
                reported = {line.partition(":")[0] for line in unheld}
                unshown = [] if rejected else [(name, why) for name, why in self._unshown(every) if name not in reported]
                missing += [name for name, _ in unshown] if waited < GRACE else []
                unheld += [f"{name}: {why}" for name, why in unshown] if waited >= GRACE else []
            complete = None if missing else complete or now
            settled = complete is not None and now - complete >= (MERGE_WINDOW if self._found.fresh(every) else 0.0)
            if settled or rejected or now - started > timeout:
                notes = tuple(described.without_pods(self._found, every)) if settled else ()
                names = self._found.through_gateways()
                return Arrival(now - started, names, tuple(missing), tuple(unheld), tuple(rejected), notes)
            time.sleep(0.05)

    # -- istiod ------------------------------------------------------------------------------------------------------------------------

    def _foreign(self, seen: list[Seen]) -> dict[tuple[str, str, str], str]:
        """Objects for a revision of istiod that does not exist: after a while, those with such a label that no istiod has read."""
        if time.monotonic() - self._started < GRACE:
            return {}
        return {key: label for key, label in self._found.tagged.items() if not any(key in each.read for each in seen)}

    def _unread(self, seen: list[Seen]) -> Iterator[str]:
        """What istiod has not read, or may not have translated yet."""
        foreign = self._foreign(seen)
        unread = [
            f"{kind} {name}"
            for (kind, namespace, name), revision in self._found.revisions.items()
            if (kind, namespace, name) not in foreign
            and not read_everywhere((each.read.get((kind, namespace, name)) for each in seen), revision)
        ]
        unread += [
            f"the deletion of {kind} {name}"
            for each in seen
            for kind, namespace, name in each.read
            if namespace == self._found.namespace
            and kind in self._found.kinds
            and (kind, namespace, name) not in self._found.revisions
            and not name.endswith(_MADE_BY_ISTIO)
        ]
        received, translated, now = sum(each.received for each in seen), min(each.translated for each in seen), time.monotonic()
        if self._calm is None or unread:
            self._calm, self._translated = (None if unread else now), translated
        elif received != self._received:
            self._calm = now
        self._received = received
        yield from unread
        # Of two translations that began since then one surely has it; where changes never end there is no quiet moment.
        if self._calm is not None and now - self._calm < QUIET and translated < self._translated + 2:
            yield "istiod's latest changes"

    # -- proxies -----------------------------------------------------------------------------------------------------------------------

    def _concerned(self, every: list[Any]) -> dict[Name, tuple[str, ...]]:
        """The proxies that must hold something, each with what: those of the namespace's pods, and of gateways that its objects name."""
        world = self._found.world
        inside = [f"VirtualService {bindings.name_of(item)[1]}" for item in world.own if bindings.for_sidecars(item)]
        inside += [f"DestinationRule {bindings.name_of(rule)[1]}" for rule in self._found.own_rules()]
        held: dict[Name, tuple[str, ...]] = {
            (self._found.namespace, str(pod.metadata.name)): tuple(f"{each} in {pod.metadata.name}" for each in inside)
            for pod in every
            if pods.is_ready(pod) and sidecars.has_sidecar(pod)
        }
        for where, behind in world.gateway_pods.items():
            for pod in behind:
                own = (f"Gateway {where[1]}",) if where[0] == world.namespace else ()
                services = tuple(
                    f"VirtualService {bindings.name_of(item)[1]}" for item in world.own if where in bindings.held_by(item, world)
                )
                held[pod] = (*held.get(pod, ()), *own, *services)
        return held

    def _behind(self, seen: list[Seen], every: list[Any]) -> Iterator[str]:
        """What proxies that are not connected, or have not acknowledged everything, may not hold yet."""
        connected = {(proxy.namespace, proxy.pod): proxy for each in seen for proxy in each.proxies}
        for where, names in self._concerned(every).items():
            proxy = connected.get(where)
            if proxy is None or proxy.behind:
                yield from names or (f"the proxy of pod {where[1]}",)

    def _rejected(self, seen: list[Seen], every: list[Any]) -> dict[str, tuple[str, ...]]:
        """Error messages of Envoys that reject their configuration, each with the objects that are therefore not in force."""
        concerned = self._concerned(every)
        proxies = [proxy for each in seen for proxy in each.proxies if proxy.complaint]
        return {proxy.complaint: concerned[where] for proxy in proxies if (where := (proxy.namespace, proxy.pod)) in concerned}

    def _endpoints(self, every: list[Any]) -> Iterator[str]:
        """Subsets and Services whose ready pods are not those that an Envoy holds as healthy: the ingress gateway's, else a sidecar's."""
        wanted = list(self._found.subsets(every))
        where = self._observer(every) if wanted else None
        if where is None:
            return
        clusters = config_dump.healthy(self._lines.to(*where).addresses())
        named = {ClusterName.parse(name): found for name, found in clusters.items()}
        held = {(name.host, name.subset): found for name, found in named.items() if name.direction == "outbound"}
        for subset in wanted:
            # A Service or subset that is not exported to this proxy is not among its clusters.
            if held.get((subset.host, subset.name), subset.addresses) != subset.addresses:
                service = subset.host.partition(".")[0]
                yield f"subset {subset.name} of {service}" if subset.name else f"the pods of {service}"

    def _observer(self, every: list[Any]) -> Name | None:
        found = [(installation.NAMESPACE, name) for name in self._lines.gateways(INGRESS)]
        found += [(self._found.namespace, str(pod.metadata.name)) for pod in every if pods.is_ready(pod) and sidecars.has_sidecar(pod)]
        return next(iter(found), None)

    def _unshown(self, every: list[Any]) -> Iterator[tuple[str, str]]:
        """(what, why) for VirtualServices of which no Envoy shows an expected route, and Gateways whose port is not open."""
        world = self._found.world
        for where, behind in world.gateway_pods.items():
            if where[0] != world.namespace or not behind:
                continue
            line = self._lines.to(*behind[0])
            wanted = described.ports(self._found.connection, world.gateways[where], behind[0])
            if shut := wanted - line.ports():
                why = f"the Envoy of {behind[0][1]} does not listen on port {', '.join(sorted(shut))}"
                yield f"Gateway {where[1]}", why + described.secrets(self._found.connection, world.gateways[where], behind[0])
        for item in world.own:
            if not item.get("spec", {}).get("http") or not item["spec"].get("hosts"):
                continue  # rules for TCP and TLS leave no name in Envoy's routes
            name = bindings.name_of(item)[1]
            for where, behind in bindings.held_by(item, world).items():
                if not config_dump.read(self._lines.to(*behind[0]).routes(), world.namespace, name):
                    yield f"VirtualService {name}", f"the Envoy of {behind[0][1]} has no route from it for Gateway {where[1]}; {ASK}"
            if bindings.for_sidecars(item):
                yield from ((f"VirtualService {name}", why) for why in self._in_no_sidecar(item, every))

    def _in_no_sidecar(self, item: JsonMapping, every: list[Any]) -> Iterator[str]:
        own = [str(pod.metadata.name) for pod in every if pods.is_ready(pod) and sidecars.has_sidecar(pod)]
        namespace, name = bindings.name_of(item)
        if not own or not bindings.exported(item) & {"*", namespace}:
            return
        if any(config_dump.read(self._lines.to(namespace, pod).routes(), namespace, name) for pod in own):
            return
        older_one = bindings.shadowed(item, self._found.world)
        yield (
            f"VirtualService {older_one}, which is older, has its host: sidecars read that one"
            if older_one
            else (f"no sidecar of this namespace has a route from it; {ASK}")
        )


ASK: Final = "`istioctl analyze` may say why"
_MADE_BY_ISTIO: Final = "-istio-autogenerated-k8s-gateway"


def read_everywhere(held: Iterable[str | None], wanted: str) -> bool:
    """Whether an istiod has read this resourceVersion or a newer one, and none holds an older one."""
    seen = [_older(each, wanted) for each in held if each is not None]
    return bool(seen) and not any(seen)


def _older(held: str, wanted: str) -> bool:
    return int(held) < int(wanted) if held.isdigit() and wanted.isdigit() else held != wanted


class Lines:
    """A connection to each proxy, kept open between polls."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._open: dict[tuple[str, str], admin.AdminConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._open.values():
            line.close()

    def to(self, namespace: str, pod: str) -> admin.AdminConnection:
        """The connection to one pod's proxy."""
        return self._open.setdefault((namespace, pod), admin.AdminConnection(self.connection, namespace, lambda: pod))

    def gateways(self, role: str) -> list[str]:
        """The ready pods of a gateway ("ingressgateway") of Istio's installation."""
        found = resources.read(self.connection.core().list_namespaced_pod, installation.NAMESPACE).items
        return [str(pod.metadata.name) for pod in found if (pod.metadata.labels or {}).get("istio") == role and pods.is_ready(pod)]


def listed(connection: Connection, namespace: str, plural: str) -> list[Json]:
    """The namespace's Istio networking objects of one kind; none when Istio's kinds are not installed."""
    found = resources.read(connection.custom().list_namespaced_custom_object, *api_versions.networking(connection), namespace, plural)
    return list(found["items"]) if found else []
