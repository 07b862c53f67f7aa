"""lab.mesh_map: which component talks to which, drawn from the running mesh.

`picture` is pure. An arrow is an open connection; only the one into the ingress gateway, which is no longer open than a request, is drawn
from the gateway's NodePort.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.diagrams import svg
from meshcourse.diagrams.model import Arrow, Box, DiagramError, Note, Picture
from meshcourse.kube import pods as ready_pods
from meshcourse.kube import resources
from meshcourse.lab import session
from meshcourse.measure import sockets
from meshcourse.measure.sockets import Socket
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation

Pod = Any  # the Kubernetes client is untyped
ISTIOD: Final = "istiod"
API: Final = "Kubernetes API"
YOU: Final = "you"
PROXY: Final = "istio-proxy"
MOST: Final = 4
"""The number of workloads with a sidecar that are drawn."""
WEBHOOK: Final = 15017
MEANING: Final = {
    15001: "what the pod sends out",
    15006: "what comes in to the pod",
    15010: "xDS, plain text",
    15012: "xDS and certificates, by TLS",
    15014: "metrics of istiod",
    15017: "webhooks: injection and validation",
    15021: "ready?",
    15090: "metrics of Envoy",
}


@dataclass(frozen=True)
class Workload:
    """A running workload. `kind` is istiod, ingress, egress, sidecar or outside; `ports` are those that it listens on."""

    name: str
    kind: str
    addresses: tuple[str, ...]
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """An open connection: client, server, and the server's port."""

    start: str
    end: str
    port: int


@dataclass(frozen=True)
class Map:
    """The mesh's workloads and connections. `node_port` is the NodePort of the ingress gateway's port 80; 0: none."""

    workloads: tuple[Workload, ...]
    lines: tuple[Line, ...]
    node_port: int = 0

    def words(self) -> tuple[str, ...]:
        """Each connection as `client → istiod:15012   xDS and certificates, by TLS`."""
        names = [f"{line.start} → {line.end}:{line.port}" for line in self.lines]
        wide = max(map(len, names), default=0)
        return tuple(f"{name:<{wide}}   {MEANING.get(line.port, '')}".rstrip() for name, line in zip(names, self.lines, strict=True))

    def __repr__(self) -> str:
        ports = [f"  {each.name}: {', '.join(map(str, each.ports))}" for each in self.workloads if each.ports]
        return "\n".join(["listening on:", *ports, "open now:", *(f"  {line}" for line in self.words())])

    def _repr_html_(self) -> str | None:
        try:
            made = picture(self)
            drawn = base64.b64encode(svg.svg(made, "mesh-map").encode()).decode()
        except DiagramError:  # too many arrows for the picture: only the text is shown
            return None
        # As an image: inline SVG styles would apply to the whole page, other notebooks' figures included.
        return f'<div style="overflow-x:auto"><img src="data:image/svg+xml;base64,{drawn}" alt="{escape(made.describe)}"></div>'


def mesh_map(outside: str = "") -> Map:
    """Read the running mesh; `outside` is the namespace that stands for the world outside it.

    Raises MeshError when Istio is not installed, KubernetesError when the cluster does not answer.
    """
    begun = session.current()
    core = begun.connection.core()
    places = [installation.NAMESPACE, begun.namespace, *([outside] if outside else [])]
    every = [pod for place in places for pod in resources.read(core.list_namespaced_pod, place).items]
    kinds = {pod.metadata.uid: _kind(pod, outside) for pod in every}
    pods = [pod for pod in every if kinds[pod.metadata.uid] and ready_pods.is_ready(pod)]
    services = [each for place in places for each in resources.read(core.list_namespaced_service, place).items]
    workloads = tuple(_workloads(pods, kinds, services))
    if not any(each.kind == ISTIOD for each in workloads):
        raise errors.MeshError("There is no istiod.", why="Istio is not installed", next="istioctl install --set profile=demo -y")
    own = [pod for pod in pods if kinds[pod.metadata.uid] != "outside"]

    def table(pod: Pod) -> tuple[Socket, ...]:
        container = PROXY if kinds[pod.metadata.uid] != ISTIOD else "discovery"
        return sockets.of(begun.connection, pod.metadata.namespace, pod.metadata.name, container)

    with ThreadPoolExecutor(max_workers=6) as several:
        open_now = {pod.metadata.uid: found for pod, found in zip(own, several.map(table, own), strict=True)}
    kubernetes = resources.read(core.read_namespaced_service, "kubernetes", "default")
    known = {address: each.name for each in workloads for address in each.addresses} | {str(kubernetes.spec.cluster_ip): API}
    return Map(workloads, tuple(_lines([(_name(pod), open_now[pod.metadata.uid]) for pod in own], known)), _node_port(services))


# -- reading ----------------------------------------------------------------------------------------------------------------------------


def _kind(pod: Pod, outside: str) -> str:
    labels = pod.metadata.labels or {}
    if pod.metadata.namespace == installation.NAMESPACE:
        gateways = {"ingressgateway": "ingress", "egressgateway": "egress"}
        return ISTIOD if labels.get("app") == ISTIOD else gateways.get(labels.get("istio", ""), "")
    if pod.metadata.namespace == outside:
        return "outside"
    return "sidecar" if sidecars.has_sidecar(pod) else ""


def _name(pod: Pod) -> str:
    return str((pod.metadata.labels or {}).get("app") or pod.metadata.name)


def _workloads(pods: Iterable[Pod], kinds: Mapping[str, str], services: Iterable[Any]) -> Iterator[Workload]:
    """One for each name: the pods of a Deployment, with the addresses of the Services that select them."""
    by_name: dict[str, list[Pod]] = {}
    for pod in pods:
        by_name.setdefault(_name(pod), []).append(pod)
    for name, group in by_name.items():
        first = group[0]
        behind = [each for each in services if _selects(each, first)]
        addresses = (*(str(pod.status.pod_ip) for pod in group), *(str(each.spec.cluster_ip) for each in behind))
        kind = kinds[first.metadata.uid]
        ports = _served(behind) if kind == ISTIOD else () if kind == "outside" else _proxy_ports(first)
        yield Workload(name, kind, addresses, tuple(sorted(ports)))


def _selects(service: Any, pod: Pod) -> bool:  # noqa: ANN401 - the Kubernetes client is untyped
    selector = service.spec.selector or {}
    return (
        service.metadata.namespace == pod.metadata.namespace and bool(selector) and selector.items() <= (pod.metadata.labels or {}).items()
    )


def _served(services: Iterable[Any]) -> set[int]:
    """The ports of istiod's pods behind its Services: 443 of the Service is 15017 of the pod."""
    targets = {port.target_port or port.port for each in services for port in each.spec.ports}
    return {int(each) for each in targets if str(each).isdigit()}


def _proxy_ports(pod: Pod) -> set[int]:
    """Ports of a pod's Envoy: those in its container and its probe, and those to which istio-init redirects."""
    containers = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    found: set[int] = set()
    for each in containers:
        if each.name == PROXY:
            found |= {int(port.container_port) for port in each.ports or ()}
            probe = each.readiness_probe.http_get if each.readiness_probe else None
            found |= {int(probe.port)} if probe else set()
        if each.name == "istio-init":
            words = list(each.args or ())
            found |= {int(value) for flag, value in itertools.pairwise(words) if flag in {"-p", "-z"} and value.isdigit()}
    return found


def _node_port(services: Iterable[Any]) -> int:
    for each in services:
        if each.metadata.name == installation.INGRESS:
            return next((int(port.node_port or 0) for port in each.spec.ports if port.port == 80), 0)  # noqa: PLR2004 - HTTP's port
    return 0


def _lines(tables: Iterable[tuple[str, tuple[Socket, ...]]], known: Mapping[str, str]) -> Iterator[Line]:
    """Connections between known workloads, each once. A pod's table has both ends; the client has the higher, ephemeral port."""
    seen: set[Line] = set()
    for name, table in tables:
        for each in table:
            other = known.get(each.remote)
            if each.local_port == WEBHOOK and other is None:  # the API server calls from the node's own address
                line = Line(API, name, WEBHOOK)
            elif other is not None and other != name and each.remote_port < each.local_port:
                line = Line(name, other, each.remote_port)
            else:
                continue
            if line not in seen:
                seen.add(line)
                yield line


# -- the picture ------------------------------------------------------------------------------------------------------------------------


def picture(found: Map) -> Picture:
    """Control plane above, gateways in the middle, workloads with a sidecar below."""
    by_kind = {
        kind: [each for each in found.workloads if each.kind == kind] for kind in ("ingress", "egress", "outside", "sidecar", ISTIOD)
    }
    sidecars = sorted(by_kind["sidecar"], key=lambda each: (not _called_by(found, each, "ingress"), each.name))[:MOST]
    right = 2.0 + max(1, len(sidecars))
    boxes = [
        Box(YOU, (0, 1), (YOU, "outside"), "person"),
        Box(API, (0, 0), (API, "keeps the objects"), "control"),
        *(Box(each.name, ((1 + right) / 2, 0), (each.name, *_ports(each.ports, 2)), "control") for each in by_kind[ISTIOD][:1]),
        *(Box(each.name, (1, 1), (each.name.removeprefix("istio-"), *_ports(each.ports, 2)), "proxy") for each in by_kind["ingress"][:1]),
        *(
            Box(each.name, (right, 1), (each.name.removeprefix("istio-"), *_ports(each.ports, 2)), "proxy")
            for each in by_kind["egress"][:1]
        ),
        *(Box(each.name, (right + 1, 1), (each.name, "no sidecar")) for each in by_kind["outside"][:1]),
        *(Box(each.name, (2.0 + n, 2), (each.name, *_ports(each.ports, 2)), "proxy") for n, each in enumerate(sidecars)),
    ]
    drawn = {box.id for box in boxes}
    arrows = [
        Arrow(line.start, line.end, (str(line.port),), "dashed" if ISTIOD in {line.start, line.end} else "solid")
        for line in found.lines
        if {line.start, line.end} <= drawn
    ]
    ingress = next((each.name for each in by_kind["ingress"]), "")
    if ingress and found.node_port:
        arrows.insert(0, Arrow(YOU, ingress, (str(found.node_port),)))
    left_out = len(by_kind["sidecar"]) - len(sidecars)
    notes = (Note((0, 2), (f"and {left_out} more with a sidecar",)),) if left_out else ()
    describe = "Open connections: " + "; ".join(f"{arrow.start} to {arrow.end}, port {arrow.label[0]}" for arrow in arrows) + "."
    return Picture("Open connections in this mesh now", describe, tuple(boxes), arrows=tuple(arrows), notes=notes, gap=(50, 50))


def _called_by(found: Map, workload: Workload, kind: str) -> bool:
    callers = {each.name for each in found.workloads if each.kind == kind}
    return any(line.end == workload.name and line.start in callers for line in found.lines)


def _ports(ports: tuple[int, ...], a_line: int) -> tuple[str, ...]:
    """Istio's ports, `a_line` of them per line; others are only in the text."""
    own = [str(port) for port in ports if port in MEANING]
    return tuple(" ".join(own[at : at + a_line]) for at in range(0, len(own), a_line))
