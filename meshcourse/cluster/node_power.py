"""Stops and starts nodes of a running cluster from outside: writes or deletes a file in its folder and sends SIGHUP to its daemon.

The daemon's answer is `nodes.json`: the state of each node, by name.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Final

from meshcourse.cluster.daemon_options import STOPPED_NODES
from meshcourse.core.errors import ClusterError

if TYPE_CHECKING:
    from meshcourse.cluster.clusters import Cluster

STATES: Final = "nodes.json"
STARTING: Final = "starting"
RUNNING: Final = "running"
STOPPED: Final = "stopped"
_WITHIN: Final = 30.0


def states(cluster: Cluster) -> dict[str, str]:
    """The state of each node, by name; empty while the cluster starts."""
    try:
        found: dict[str, str] = json.loads((cluster.home / STATES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def stop(cluster: Cluster, name: str) -> bool:
    """Switch a node off and wait until its agent has ended; False when it was off. Raises ClusterError."""
    _check(cluster, name)
    if name == cluster.name:
        another = f"meshcourse node stop {name}-2 --name {name}"
        anew = f"meshcourse down --name {name} && meshcourse up --name {name} --nodes 3"
        raise ClusterError(
            f'The node "{name}" cannot be stopped.',
            why="The control plane runs on it: without this node there is no cluster.",
            next=another if cluster.nodes > 1 else f"{anew}    # several nodes",
        )
    wanted = cluster.home / STOPPED_NODES / name
    was_on = not wanted.exists()
    wanted.touch()
    _settle(cluster, name, STOPPED)
    return was_on


def start(cluster: Cluster, name: str) -> bool:
    """Switch a node on and wait until it has reported Ready; False when it was on. Raises ClusterError."""
    _check(cluster, name)
    wanted = cluster.home / STOPPED_NODES / name
    was_off = wanted.exists()
    wanted.unlink(missing_ok=True)
    _settle(cluster, name, RUNNING)
    return was_off


def _check(cluster: Cluster, name: str) -> None:
    known = states(cluster)
    if name not in known:
        raise ClusterError(
            f'Cluster "{cluster.name}" has no node "{name}".',
            why=f"Nodes: {', '.join(known)}.",
            next=f"meshcourse node list --name {cluster.name}",
        )


def _settle(cluster: Cluster, name: str, wanted: str) -> None:
    os.kill(cluster.pid, signal.SIGHUP)
    deadline = time.monotonic() + _WITHIN
    while states(cluster).get(name) != wanted:
        if time.monotonic() > deadline:
            raise ClusterError(
                f'The node "{name}" is not {wanted} after {_WITHIN:.0f} s.', next=f"meshcourse logs node --name {cluster.name}"
            )
        time.sleep(0.02)
