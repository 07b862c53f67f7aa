"""The content of /metrics/resource, /stats/summary and /metrics, which metrics-server, `kubectl top` and Prometheus read. Pure.

Names and fields are a kubelet's (pkg/kubelet/metrics/collectors/resource_metrics.go, staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from meshcourse.node.process.usage import Use


@dataclass(frozen=True)
class ContainerUse:
    """What one running container uses; `started_at` is RFC 3339."""

    namespace: str
    pod: str
    uid: str
    name: str
    started_at: str
    use: Use


@dataclass(frozen=True)
class NodeUse:
    """What the node uses, all its pods and the control plane, at `moment` (seconds since the epoch)."""

    name: str
    moment: float
    started_at: str
    use: Use
    containers: tuple[ContainerUse, ...]

    def pods(self) -> dict[tuple[str, str, str], list[ContainerUse]]:
        """The containers of each pod, by its namespace, name and uid."""
        found: dict[tuple[str, str, str], list[ContainerUse]] = {}
        for container in self.containers:
            found.setdefault((container.namespace, container.pod, container.uid), []).append(container)
        return found


def resource(node: NodeUse) -> str:
    """The text of /metrics/resource."""
    milliseconds = int(node.moment * 1000)

    def family(name: str, kind: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
        yield f"# HELP {name} [STABLE] {name.replace('_', ' ')}\n# TYPE {name} {kind}\n"
        for labels, value in values:
            yield f"{name}{labels} {value!r} {milliseconds}\n"

    of_container = [(f'{{container="{c.name}",namespace="{c.namespace}",pod="{c.pod}"}}', c) for c in node.containers]
    of_pod = [(f'{{namespace="{space}",pod="{pod}"}}', _sum(those)) for (space, pod, _), those in node.pods().items()]
    lines = [
        *family("container_cpu_usage_seconds_total", "counter", ((labels, c.use.cpu_seconds) for labels, c in of_container)),
        *family("container_memory_working_set_bytes", "gauge", ((labels, c.use.memory_bytes) for labels, c in of_container)),
        *family("container_start_time_seconds", "gauge", ((labels, _seconds(c.started_at)) for labels, c in of_container)),
        *family("node_cpu_usage_seconds_total", "counter", [("", node.use.cpu_seconds)]),
        *family("node_memory_working_set_bytes", "gauge", [("", node.use.memory_bytes)]),
        *family("pod_cpu_usage_seconds_total", "counter", ((labels, use.cpu_seconds) for labels, use in of_pod)),
        *family("pod_memory_working_set_bytes", "gauge", ((labels, use.memory_bytes) for labels, use in of_pod)),
        "# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise\n",
        "# TYPE resource_scrape_error gauge\nresource_scrape_error 0\n",
    ]
    return "".join(lines)


def summary(node: NodeUse) -> dict[str, Any]:
    """The content of /stats/summary: processor and memory only, without file systems and network."""
    time = datetime.fromtimestamp(node.moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def used(use: Use) -> dict[str, Any]:
        cpu = {"time": time, "usageCoreNanoSeconds": int(use.cpu_seconds * 1e9)}
        return {"cpu": cpu, "memory": {"time": time, "workingSetBytes": use.memory_bytes}}

    pods = [
        {
            "podRef": {"name": name, "namespace": namespace, "uid": uid},
            "startTime": min(each.started_at for each in those),
            "containers": [{"name": each.name, "startTime": each.started_at, **used(each.use)} for each in those],
            **used(_sum(those)),
        }
        for (namespace, name, uid), those in node.pods().items()
    ]
    return {"node": {"nodeName": node.name, "startTime": node.started_at, **used(node.use)}, "pods": pods}


def own(name: str, pods: int, containers: int) -> str:
    """The text of /metrics: the node's own metrics."""
    return (
        f'# TYPE kubelet_node_name gauge\nkubelet_node_name{{node="{name}"}} 1\n'
        f"# TYPE kubelet_running_pods gauge\nkubelet_running_pods {pods}\n"
        f'# TYPE kubelet_running_containers gauge\nkubelet_running_containers{{container_state="running"}} {containers}\n'
    )


def _sum(containers: Iterable[ContainerUse]) -> Use:
    return sum((each.use for each in containers), Use())


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
