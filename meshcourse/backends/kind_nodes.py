"""The nodes of a kind cluster, which are containers: their state, starting stopped ones, and files inside them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshcourse.backends import programs
from meshcourse.backends.containers import Engine
from meshcourse.core.errors import ClusterError

LABEL: Final = "io.x-k8s.kind.cluster"
NETWORK: Final = "kind"
RUNNING: Final = "running"
_PATIENCE: Final = 60.0
_FIRST: Final = "control-plane"
_TRIES: Final = 10


@dataclass(frozen=True)
class Node:
    """One container: its `state` in the engine's term (running, exited, paused, ...), and its `address` in kind's network."""

    name: str
    state: str
    address: str = ""


def of(engine: Engine, cluster: str) -> tuple[Node, ...]:
    """The cluster's nodes, the control plane first. Raises ClusterError when the engine does not answer."""
    return _containers(engine, f"{LABEL}={cluster}")


def labelled(engine: Engine, label: str) -> tuple[Node, ...]:
    """Every container with this label, stopped ones too. Raises ClusterError."""
    return _containers(engine, label)


def off(nodes: Sequence[Node]) -> str:
    """The nodes that do not run, each with its state; empty when all run."""
    return ", ".join(f"{node.name} ({node.state})" for node in nodes if node.state != RUNNING)


def fault(cluster: str, nodes: Sequence[Node]) -> tuple[str, str]:
    """What is wrong with the nodes' containers, and what to type; two empty strings when they run. Pure."""
    if not any(node.name.endswith(_FIRST) for node in nodes):
        if nodes:
            return (
                "The container of its control plane was deleted.",
                f"meshcourse down --name {cluster}    # then `meshcourse up` as before",
            )
        return "The containers of its nodes were deleted.", f"meshcourse up --name {cluster}    # creates it again, without what was in it"
    if stopped := off(nodes):
        return f"These of its nodes do not run: {stopped}.", f"meshcourse up --name {cluster}    # they go on with all that is in them"
    return "", ""


def start(engine: Engine, nodes: Sequence[Node]) -> None:
    """Start stopped nodes and resume paused ones. Raises ClusterError."""
    for node in nodes:
        if node.state != RUNNING:
            programs.run([engine.program, "unpause" if node.state == "paused" else "start", node.name], {}, timeout=_PATIENCE)


def write(engine: Engine, node: str, path: str, text: str) -> None:
    """Write a file in a node, and the folders above it. Raises ClusterError."""
    script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"'
    programs.run([engine.program, "exec", node, "sh", "-c", script, "sh", path, text], {}, timeout=_PATIENCE)


def wait_until_ready(kubeconfig: str, within: float) -> None:
    """Wait until the API server reports that it is ready. Raises ClusterError when it does not within so many seconds."""
    words: list[str | Path] = [programs.kubectl(), "--kubeconfig", kubeconfig, "--request-timeout=5s", "get", "--raw", "/readyz"]
    until = time.monotonic() + within
    while True:
        try:
            programs.run(words, {}, timeout=_PATIENCE)
        except ClusterError as error:
            if time.monotonic() > until:
                raise ClusterError(
                    "The cluster's containers run, but its API server does not answer.",
                    why=error.why,
                    next="kind export logs    # and read the control plane's kubelet.log there",
                ) from error
            time.sleep(0.5)
        else:
            return


def _containers(engine: Engine, label: str) -> tuple[Node, ...]:
    found: list[Any] = []
    for tries_left in reversed(range(_TRIES)):
        listed = programs.run([engine.program, "ps", "--all", "--quiet", "--filter", f"label={label}"], {}, timeout=_PATIENCE).split()
        if not listed:
            return ()
        try:
            found = json.loads(programs.run([engine.program, "inspect", "--type", "container", *listed], {}, timeout=_PATIENCE))
            break
        except ClusterError as error:  # `ps` lists a container a moment before `inspect` knows it, and a moment after
            if not tries_left or "no such" not in error.why.lower():
                raise
            time.sleep(0.2)
    nodes = [Node(each["Name"].lstrip("/"), each["State"]["Status"], _address(each)) for each in found]
    return tuple(sorted(nodes, key=lambda node: (not node.name.endswith(_FIRST), node.name)))


def _address(container: dict[str, Any]) -> str:
    """Docker and Podman both list addresses by network."""
    networks = container.get("NetworkSettings", {}).get("Networks") or {}
    return str(networks.get(NETWORK, {}).get("IPAddress", ""))
