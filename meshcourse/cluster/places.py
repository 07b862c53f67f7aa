"""Names, addresses and labels of a cluster's nodes. Pure.

All nodes share the cluster's network namespace: each has an address and a range of pod addresses there. Several nodes are labelled as two
regions with two zones each, for lessons about locality; a single node has no such labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 9
_ZONES: Final = (("east", "east-a"), ("east", "east-b"), ("west", "west-a"), ("west", "west-b"))
_CONTROL_PLANE: Final = {"node-role.kubernetes.io/control-plane": ""}


@dataclass(frozen=True)
class Place:
    """One node. `labels` are those of its region and zone; the agent adds the usual ones."""

    name: str
    ip: str
    pod_cidr: str
    labels: Mapping[str, str] = field(default_factory=dict)


def planned(cluster: str, count: int) -> tuple[Place, ...]:
    """The places of `count` nodes. The first has the cluster's name; the control plane runs on it, and pods may too.

    >>> [(each.name, each.ip, each.labels.get("topology.kubernetes.io/zone")) for each in planned("mesh", 3)]
    [('mesh', '172.18.0.2', 'east-a'), ('mesh-2', '172.18.0.3', 'east-b'), ('mesh-3', '172.18.0.4', 'west-a')]
    """
    return tuple(
        Place(
            name=f"{cluster}-{number + 1}" if number else cluster,
            ip=f"172.18.0.{number + 2}",
            pod_cidr=f"10.244.{number}.0/24",
            labels=(_labels(number) if count > 1 else {}),
        )
        for number in range(count)
    )


def _labels(number: int) -> dict[str, str]:
    region, zone = _ZONES[number % len(_ZONES)]
    topology = {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone}
    return topology if number else {**topology, **_CONTROL_PLANE}
