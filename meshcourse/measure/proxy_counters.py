"""How often each proxy of a namespace was called, and which Services it called: from every Envoy's own counters.

It reads each pod's port 15090 through the API server, as Prometheus reads it from inside. A sidecar keeps these counters only where
proxyStatsMatcher in the pod's annotation `proxy.istio.io/config` includes them: without `upstream_rq_` there are no calls, without
`ssl.handshake` no mutual TLS. Envoy updates its histograms every 5 s, so latencies appear a little later than counts. `parse` is pure.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from meshcourse.core import errors
from meshcourse.kube import api_versions, resources
from meshcourse.kube import pods as ready_pods
from meshcourse.kube.connection import Connection
from meshcourse.measure import stats_inclusion
from meshcourse.mesh.envoy.cluster_names import ClusterName
from meshcourse.mesh.injection import sidecars

PATH: Final = "/api/v1/namespaces/{namespace}/pods/{pod}:15090/proxy/stats/prometheus"
# `usedonly` leaves out zero counters: a few kilobytes a proxy instead of many.
QUERY: Final = (("usedonly", ""), ("filter", r"cluster\.(in|out)bound.*(upstream_rq_(\d\d\d|time|cancelled|total)|ssl\.handshake)"))
FAILED: Final = 500
_LINE: Final = re.compile(
    r"envoy_cluster_(upstream_rq|upstream_rq_cancelled|upstream_rq_total|upstream_rq_time_bucket|ssl_handshake)\{([^}]*)\} (\S+)$"
)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
Key = TypeVar("Key")


@dataclass(frozen=True)
class Calls:
    """Calls since the proxy started: by HTTP status, cancelled before they were sent, and a histogram of milliseconds.

    `begun` counts all that were sent, also those that the caller cancelled while they ran: these have no status and are in no other
    counter. `handshakes` counts their connections that began with a TLS handshake; Istio's are mutual.
    """

    codes: Mapping[int, int] = field(default_factory=dict)
    cancelled: int = 0
    buckets: Mapping[float, int] = field(default_factory=dict)
    begun: int = 0
    handshakes: int = 0

    @property
    def total(self) -> int:
        """All calls that have ended."""
        return sum(self.codes.values()) + self.cancelled

    @property
    def failed(self) -> int:
        """Those that ended with a status of 500 or more, or with none."""
        return sum(count for code, count in self.codes.items() if code >= FAILED) + self.cancelled


@dataclass(frozen=True)
class Destination:
    """What a proxy calls: a Service, and the subset of it that a route named (empty: none)."""

    host: str
    subset: str = ""


@dataclass(frozen=True)
class Counts:
    """One proxy's calls: received for its application, and sent by its application."""

    inbound: Calls = field(default_factory=Calls)
    outbound: Mapping[Destination, Calls] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What is counted of a pod's calls. `sidecar`: whether it has one; `keeps`: whether its Envoy keeps counters of calls."""

    sidecar: bool = True
    keeps: bool = True

    @property
    def counted(self) -> bool:
        """Whether its own Envoy counts the calls that it receives and sends."""
        return self.sidecar and self.keeps


@dataclass(frozen=True)
class Member(Coverage):
    """A pod; unless it is `counted`, its `counts` are empty. `workload` is its Deployment's name, or its own where it has none."""

    pod: str
    workload: str
    labels: Mapping[str, str]
    counts: Counts


@dataclass(frozen=True)
class Sample:
    """A namespace at one moment (`at`, in seconds of a monotonic clock)."""

    at: float
    namespace: str
    members: tuple[Member, ...]
    services: Mapping[str, Mapping[str, str]]
    """A Service's name -> its selector's labels."""
    subsets: Mapping[Destination, Mapping[str, str]]
    """A subset -> the labels that it adds."""


def read(connection: Connection, namespace: str) -> Sample:
    """Read every sidecar of the namespace now. One that does not answer is left out; pods without a sidecar are members without counts.

    Raises KubernetesError when the API server does not answer.
    """
    core = connection.core()
    every = resources.read(core.list_namespaced_pod, namespace).items
    pods = [pod for pod in every if _has_running_proxy(pod)]
    bare = [pod for pod in every if not sidecars.has_sidecar(pod) and ready_pods.is_ready(pod)]
    listed = resources.read(core.list_namespaced_service, namespace).items
    services = {item.metadata.name: item.spec.selector or {} for item in listed}
    rules = resources.read(
        connection.custom().list_namespaced_custom_object, *api_versions.networking(connection), namespace, "destinationrules"
    ) or {"items": []}
    at = time.monotonic()
    with ThreadPoolExecutor(max_workers=4) as several:
        texts = list(several.map(lambda pod: _ask(connection, namespace, pod.metadata.name), pods))
    ports = {int(port.port) for item in listed for port in item.spec.ports or ()}
    ports |= {port.target_port for item in listed for port in item.spec.ports or () if isinstance(port.target_port, int)}
    members = [
        _member(pod, counts, keeps=_has_calls(counts) or stats_inclusion.keeps_calls(pod, ports))
        for pod, text in zip(pods, texts, strict=True)
        if text is not None
        for counts in [parse(text.splitlines())]
    ]
    members += [_member(pod, Counts(), sidecar=False) for pod in bare]
    return Sample(at, namespace, tuple(members), services, dict(_subsets(rules["items"])))


def _member(pod: Any, counts: Counts, **facts: bool) -> Member:  # noqa: ANN401 - the Kubernetes client is untyped
    name, labels = str(pod.metadata.name), pod.metadata.labels or {}
    return Member(name, workload(name, labels), labels, counts, **facts)


def _has_calls(counts: Counts) -> bool:
    return any(calls.total for calls in (counts.inbound, *counts.outbound.values()))


def _ask(connection: Connection, namespace: str, pod: str) -> str | None:
    api = connection.api()
    request = api.param_serialize("GET", PATH.format(namespace=namespace, pod=pod), query_params=list(QUERY), auth_settings=["BearerToken"])
    try:
        answer: Any = resources.ask(api.call_api, *request)
    except errors.KubernetesError:
        return None
    return bytes(answer.read() or b"").decode("utf-8", "replace")


def workload(pod: str, labels: Mapping[str, str]) -> str:
    """The Deployment's name in a pod's: `reviews-v2` of `reviews-v2-55844bdb87-hbrgc`."""
    template = labels.get("pod-template-hash")
    return pod.partition(f"-{template}-")[0] if template else pod


def _has_running_proxy(pod: Any) -> bool:  # noqa: ANN401 - the Kubernetes client is untyped
    states = [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]
    return any(state.name == "istio-proxy" and state.ready for state in states) and pod.metadata.deletion_timestamp is None


def _subsets(rules: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Destination, Mapping[str, str]]]:
    for rule in rules:
        host = str(rule["spec"].get("host", "")).partition(".")[0]
        for subset in rule["spec"].get("subsets", ()):
            yield Destination(host, subset["name"]), subset.get("labels") or {}


def parse(lines: Iterable[str]) -> Counts:
    """One proxy's counters from Prometheus' text format. `host` of a Destination is the full name, `reviews.shop.svc.cluster.local`."""
    codes: dict[str, dict[int, int]] = {}
    cancelled: dict[str, int] = {}
    buckets: dict[str, dict[float, int]] = {}
    begun: dict[str, int] = {}
    handshakes: dict[str, int] = {}
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue
        labels = dict(_LABEL.findall(found[2]))
        cluster, value = labels.get("cluster_name", "").rstrip(";"), int(float(found[3]))
        if found[1] == "upstream_rq_cancelled":
            cancelled[cluster] = value
        elif found[1] == "upstream_rq_total":
            begun[cluster] = value
        elif found[1] == "ssl_handshake":
            handshakes[cluster] = value
        elif found[1] == "upstream_rq_time_bucket":
            buckets.setdefault(cluster, {})[float(labels["le"].replace("+Inf", "inf"))] = value
        elif labels.get("response_code", "").isdigit():
            codes.setdefault(cluster, {})[int(labels["response_code"])] = value
    inbound = Calls()
    outbound: dict[Destination, Calls] = {}
    for cluster in sorted({*codes, *cancelled, *begun}):
        numbers = (each.get(cluster, 0) for each in (begun, handshakes))
        calls = Calls(codes.get(cluster, {}), cancelled.get(cluster, 0), buckets.get(cluster, {}), *numbers)
        name = ClusterName.parse(cluster)
        if name.inward:
            inbound = plus(inbound, calls)
        elif name.direction == "outbound":
            destination = Destination(name.host, name.subset)
            outbound[destination] = plus(outbound.get(destination, Calls()), calls)
    return Counts(inbound, outbound)


def plus(one: Calls, other: Calls) -> Calls:
    """The sum of both."""
    return Calls(
        _summed(one.codes, other.codes),
        one.cancelled + other.cancelled,
        _summed(one.buckets, other.buckets),
        one.begun + other.begun,
        one.handshakes + other.handshakes,
    )


def since(before: Calls, after: Calls) -> Calls:
    """What was added since `before`; all of `after` when the proxy restarted in between."""
    if after.total < before.total:
        return after
    return Calls(
        _less(after.codes, before.codes),
        max(0, after.cancelled - before.cancelled),
        _less(after.buckets, before.buckets),
        max(0, after.begun - before.begun),
        max(0, after.handshakes - before.handshakes),
    )


def _summed(one: Mapping[Key, int], other: Mapping[Key, int]) -> dict[Key, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in (*one, *(key for key in other if key not in one))}


def _less(one: Mapping[Key, int], other: Mapping[Key, int]) -> dict[Key, int]:
    return {key: max(0, value - other.get(key, 0)) for key, value in one.items()}
