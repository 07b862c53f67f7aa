"""`meshcourse node`: list the nodes of an embedded cluster, and stop and start them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, Name, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshcourse.cluster.clusters import Cluster

app = typer.Typer(
    help="""Show the nodes of a cluster, and stop one on purpose to see what Kubernetes and Istio do.

    \b
    meshcourse up --nodes 3                      three nodes, in two regions and three zones
    meshcourse node list
    meshcourse node stop meshcourse-3            as a machine that is switched off
    meshcourse node start meshcourse-3

    To empty a node gently, use kubectl: cordon, drain, uncordon, taint.
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)
Which = Annotated[str, typer.Argument(metavar="NODE", help="The node's name, as `meshcourse node list` shows it.")]
_SYSTEM = ("istio-system", "kube-system")
_ZONE = "topology.kubernetes.io/zone"


@app.command("list")
def list_(name: Name = DEFAULT_NAME) -> None:
    """Show the nodes: state, zone, address, number of pods, and which system pods run there.

    \b
    meshcourse node list
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.cluster import node_power

    cluster = _cluster(name)
    stopped = [each for each, state in node_power.states(cluster).items() if state == node_power.STOPPED]
    display.table(("node", "state", "zone", "address", "pods", "among them"), _rows(cluster, stopped))
    if cluster.nodes == 1:
        display.console.print(f"Several nodes: meshcourse down{named(name)} && meshcourse up{named(name)} --nodes 3", markup=False)


@app.command()
def stop(node: Which, name: Name = DEFAULT_NAME) -> None:
    """Switch a node off: its pods' processes end at once, and it tells Kubernetes nothing more.

    Kubernetes finds out by itself, in its usual time: after 50 seconds without a sign of life the node is NotReady and Services leave its
    pods out; five minutes later the pods are evicted, and their Deployments make others elsewhere. What its pods wrote is lost.

    \b
    meshcourse node stop meshcourse-3
    kubectl get nodes --watch
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.cluster import node_power

    stopped = node_power.stop(_cluster(name), node)
    display.done(f"node {node} is off" if stopped else f"node {node} was off already")
    display.report("Kubernetes marks it NotReady after 50 s, and evicts its pods 5 minutes later: kubectl get nodes --watch")


@app.command()
def start(node: Which, name: Name = DEFAULT_NAME) -> None:
    """Switch a node on again: its pods that are still wanted start again, each with one restart more.

    \b
    meshcourse node start meshcourse-3
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.cluster import node_power

    started = node_power.start(_cluster(name), node)
    display.done(f"node {node} is on, and Ready" if started else f"node {node} was on already")


def _cluster(name: str) -> Cluster:
    """The running embedded cluster. Raises ClusterError, also for a cluster of another backend."""
    from meshcourse.backends import lookup
    from meshcourse.backends.embedded import Embedded
    from meshcourse.cluster import clusters
    from meshcourse.core.errors import ClusterError

    found = lookup.find(name)
    if not isinstance(found, Embedded):
        raise ClusterError(
            "`meshcourse node` is for the embedded cluster.",
            why=f"{name} is a cluster of the backend {found.status().backend}",
            next="kubectl get nodes",
        )
    return clusters.get(name)


def _rows(cluster: Cluster, stopped: list[str]) -> list[tuple[str, ...]]:
    from meshcourse.backends import lookup
    from meshcourse.kube import resources
    from meshcourse.kube.connection import Connection

    found = lookup.find(cluster.name)
    core = Connection(found.kubeconfig(), found.ingress_url(), found.environment()).core()
    nodes = resources.read(core.list_node)
    pods = resources.read(core.list_pod_for_all_namespaces)
    rows: list[tuple[str, ...]] = []
    for node in nodes.items if nodes else ():
        name, labels = node.metadata.name, node.metadata.labels
        here = [pod.metadata for pod in (pods.items if pods else ()) if pod.spec.node_name == name]
        parts = {part for pod in here if pod.namespace in _SYSTEM and (part := _part(pod.labels or {}))}
        address = next((each.address for each in node.status.addresses or () if each.type == "InternalIP"), "")
        state = state_of(node, is_off=name in stopped)
        rows.append((name, state, labels.get(_ZONE, ""), address, str(len(here)), ", ".join(sorted(parts))))
    return rows


def _part(labels: Mapping[str, str]) -> str:
    """The component that a system pod belongs to: `istiod`, `coredns`."""
    return labels.get("app") or labels.get("k8s-app", "")


def state_of(node: Any, *, is_off: bool) -> str:  # noqa: ANN401 - a V1Node
    """The node's state in kubectl's words, and whether it is switched off."""
    ready = any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or ())
    words = ["Ready" if ready else "NotReady"]
    words += ["SchedulingDisabled"] if node.spec.unschedulable else []
    words += ["switched off"] if is_off else []
    return ", ".join(words)
