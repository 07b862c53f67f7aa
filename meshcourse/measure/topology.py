"""Who calls whom, how often, how well and how fast: a graph from two samples of a namespace's proxies.

A caller's Envoy counts by Service and subset. Where that is one workload, the edge is what the caller counted. Where it is several (no rule
chose between them), the calls are divided by what each workload's own Envoy received, and errors and times are that Envoy's. Calls into a
workload that no sidecar of the namespace made come from `OUTSIDE`: the ingress gateway, another namespace, or a pod without counters. A
workload without counters of its own is drawn from what its callers' Envoys counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meshcourse.measure import proxy_counters, stats_inclusion
from meshcourse.measure.proxy_counters import Calls, Counts, Coverage, Destination, Member, Sample

OUTSIDE: Final = "outside"
# Samples of two proxies are taken some milliseconds apart, so that a busy edge may lack a few calls. A smaller share than this is noise.
NOISE: Final = 0.2


@dataclass(frozen=True)
class Flow:
    """Calls in an interval: per second, the share that failed (0 to 1), and milliseconds; None where there were none."""

    rate: float = 0.0
    failed: float = 0.0
    p50: float | None = None
    p99: float | None = None

    def __str__(self) -> str:
        times = "" if self.p50 is None or self.p99 is None else f"  p50 {milliseconds(self.p50):>5} ms  p99 {milliseconds(self.p99):>5} ms"
        return f"{self.rate:6.1f}/s  {self.failed:6.1%} failed{times}" if self.rate else f"{0.0:6.1f}/s"


def milliseconds(time: float) -> str:
    """A time in whole milliseconds, the precision of Envoy's counters."""
    return f"{time:.0f}" if time >= 1 else "<1"


@dataclass(frozen=True)
class Node(Coverage):
    """A workload. `flow` is what its own Envoy received; for one that is not `counted`, what its callers' Envoys sent."""

    name: str
    service: str
    version: str
    flow: Flow


@dataclass(frozen=True)
class Edge:
    """Calls from one workload to another. `mutual_tls`: the caller's Envoy has made TLS handshakes for them (OUTSIDE's are unknown)."""

    source: str
    target: str
    flow: Flow
    mutual_tls: bool = False


@dataclass(frozen=True)
class Topology:
    """The graph of one namespace over `seconds`. An edge without calls now, but with calls before, stays in it with a rate of 0."""

    namespace: str
    seconds: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def edge(self, source: str, target: str) -> Flow:
        """The flow from one workload to another; an empty one where there are no calls."""
        return next((edge.flow for edge in self.edges if (edge.source, edge.target) == (source, target)), Flow())

    def node(self, name: str) -> Flow:
        """The flow into a workload; an empty one for an unknown workload."""
        return next((node.flow for node in self.nodes if node.name == name), Flow())

    def __str__(self) -> str:
        if not self.edges:
            return "\n".join([f"no calls between the pods of {self.namespace} have been counted", *self.gaps()])
        left, right = (max(len(getattr(edge, end)) for edge in self.edges) for end in ("source", "target"))
        rows = [f"  {edge.source:<{left}} → {edge.target:<{right}}  {edge.flow}{'  mTLS' * edge.mutual_tls}" for edge in self.edges]
        return "\n".join([f"calls in {self.namespace} in the last {self.seconds:.1f} s, as its Envoys count them:", *rows, *self.gaps()])

    def gaps(self) -> list[str]:
        """A sentence for each thing that is not counted, with the remedy."""
        bare = ", ".join(node.name for node in self.nodes if not node.sidecar)
        silent = [node.name for node in self.nodes if node.sidecar and not node.keeps]
        found = []
        if silent:
            found.append(
                f"The Envoys of {', '.join(silent)} keep no counters of calls, so their own calls are not seen: {stats_inclusion.CURE}."
            )
        if bare:
            found.append(f"Without a sidecar: {bare}. Their own calls are not seen; calls to them are, by the callers' Envoys.")
        return found

    __repr__ = __str__


def between(before: Sample, after: Sample, known: Iterable[tuple[str, str]] = ()) -> Topology:
    """The calls from `before` to `after`.

    Edges of `known`, (source, target), stay in the graph without calls, and so do those with calls in a proxy's counters from before. (The
    counters alone would not suffice: Envoy resets a Service's counters when istiod sends it again, for a new DestinationRule.)
    """
    seconds = after.at - before.at
    workloads = _by_workload(after.members)
    earlier = {member.pod: member.counts for member in before.members}
    fresh = {name: _together([_since(earlier.get(member.pod), member.counts) for member in pods]) for name, pods in workloads.items()}
    ever = {name: _together([member.counts for member in pods]) for name, pods in workloads.items()}
    edges: dict[tuple[str, str], Flow] = {}
    locked: set[tuple[str, str]] = set()
    explained = dict.fromkeys(workloads, 0.0)
    uncounted = {name for name, pods in workloads.items() if not any(pod.counted for pod in pods)}
    for source, counts in ever.items():
        for destination, all_calls in counts.outbound.items():
            targets = _targets(after, destination, workloads)
            calls = fresh[source].outbound.get(destination, Calls())
            for target, share in _shares(targets, fresh, calls, uncounted).items():
                explained[target] += calls.total * share
                seen = calls if len(targets) == 1 or target in uncounted else fresh[target].inbound
                _add(edges, (source, target), _flow(seen, seconds, calls.total * share))
                if all_calls.handshakes and workloads[target][0].sidecar:
                    locked.add((source, target))
    for target, now in explained.items():
        if rest := _rest(fresh[target].inbound, now):
            _add(edges, (OUTSIDE, target), _flow(fresh[target].inbound, seconds, rest))
    for source, target in known:
        if target in workloads and source in {OUTSIDE, *workloads}:
            _add(edges, (source, target), Flow())
    nodes = [
        _node(name, pods[0], after, _into(edges, name) if name in uncounted else _flow(fresh[name].inbound, seconds))
        for name, pods in workloads.items()
    ]
    listed = tuple(Edge(*ends, flow, ends in locked) for ends, flow in sorted(edges.items(), key=_outside_first))
    if any(edge.source == OUTSIDE for edge in listed):
        nodes.insert(0, Node(OUTSIDE, OUTSIDE, "", Flow()))
    return Topology(after.namespace, seconds, tuple(nodes), listed)


def _by_workload(members: Iterable[Member]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda each: each.workload):
        found.setdefault(member.workload, []).append(member)
    return found


def _together(several: Iterable[Counts]) -> Counts:
    inbound, outbound = Calls(), dict[Destination, Calls]()
    for each in several:
        inbound = proxy_counters.plus(inbound, each.inbound)
        for destination, calls in each.outbound.items():
            outbound[destination] = proxy_counters.plus(outbound.get(destination, Calls()), calls)
    return Counts(inbound, outbound)


def _since(before: Counts | None, after: Counts) -> Counts:
    earlier = before or Counts()
    outbound = {where: proxy_counters.since(earlier.outbound.get(where, Calls()), calls) for where, calls in after.outbound.items()}
    return Counts(proxy_counters.since(earlier.inbound, after.inbound), outbound)


def _targets(sample: Sample, destination: Destination, workloads: Mapping[str, list[Member]]) -> list[str]:
    """The workloads of this namespace behind a destination; none for one elsewhere."""
    service, _, rest = destination.host.partition(".")
    selector = sample.services.get(service)
    if not selector or rest.partition(".")[0] != sample.namespace:
        return []
    wanted = {**selector, **sample.subsets.get(Destination(service, destination.subset), {})}
    return [name for name, pods in workloads.items() if wanted.items() <= pods[0].labels.items()]


def _shares(targets: list[str], counts: Mapping[str, Counts], calls: Calls, uncounted: set[str]) -> dict[str, float]:
    """How calls to several workloads are divided: by what each received, evenly where none received any.

    Workloads without counters share evenly what the others did not receive.
    """
    dark = [target for target in targets if target in uncounted]
    received = {target: counts[target].inbound.total for target in targets if target not in uncounted}
    whole = sum(received.values())
    lit = (min(1.0, whole / calls.total) if calls.total else 0.0) if dark else 1.0
    shares = {target: lit * (count / whole if whole else 1 / len(received)) for target, count in received.items()}
    return {**shares, **{target: (1.0 - lit) / len(dark) for target in dark}}


def _into(edges: Mapping[tuple[str, str], Flow], name: str) -> Flow:
    """All calls of callers to a workload, as one flow."""
    found = dict[tuple[str, str], Flow]()
    for (_, target), flow in edges.items():
        if target == name:
            _add(found, ("", name), flow)
    return found.get(("", name), Flow())


def _rest(received: Calls, explained: float) -> float:
    """Calls from outside: the remaining ones, when they are more than noise."""
    left = received.total - explained
    return left if left > NOISE * received.total else 0.0


def _add(edges: dict[tuple[str, str], Flow], key: tuple[str, str], flow: Flow) -> None:
    """Several routes to one workload (a Service with and without a subset) are one edge; times are those of the busier."""
    other = edges.get(key, Flow())
    rate = flow.rate + other.rate
    busier = flow if flow.rate >= other.rate else other
    failed = (flow.rate * flow.failed + other.rate * other.failed) / rate if rate else 0.0
    edges[key] = Flow(rate, failed, busier.p50, busier.p99)


def _flow(calls: Calls, seconds: float, number: float | None = None) -> Flow:
    """`calls` as a flow; `number` is how many of them belong to the edge."""
    many = calls.total if number is None else number
    if not many or not calls.total or seconds <= 0:
        return Flow()
    return Flow(many / seconds, calls.failed / calls.total, quantile(calls.buckets, 0.5), quantile(calls.buckets, 0.99))


def quantile(buckets: Mapping[float, int], share: float) -> float | None:
    """The milliseconds within which `share` of the calls ended, as Prometheus reckons: on a straight line inside a bucket.

    >>> quantile({10.0: 0, 20.0: 10, math.inf: 10}, 0.5)
    15.0
    """
    bounds = sorted(buckets)
    whole = buckets[bounds[-1]] if bounds else 0
    if not whole:
        return None
    low, below = 0.0, 0
    for bound in bounds:
        if buckets[bound] >= share * whole:
            inside = buckets[bound] - below
            return low if math.isinf(bound) or not inside else low + (bound - low) * (share * whole - below) / inside
        low, below = bound, buckets[bound]
    return low


def _node(name: str, member: Member, sample: Sample, flow: Flow) -> Node:
    service = next(_services(member, sample), member.labels.get("app", name))
    return Node(name, service, member.labels.get("version", ""), flow, sidecar=member.sidecar, keeps=member.keeps)


def _services(member: Member, sample: Sample) -> Iterator[str]:
    for service, selector in sorted(sample.services.items()):
        if selector and selector.items() <= member.labels.items():
            yield service


def _outside_first(item: tuple[tuple[str, str], Flow]) -> tuple[bool, str, str]:
    (source, target), _ = item
    return (source != OUTSIDE, source, target)
