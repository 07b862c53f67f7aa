"""The services of the node that its pods use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshcourse.node.spec import restart_policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from meshcourse.node.api import Api
    from meshcourse.node.container.spec import Host
    from meshcourse.node.events import Events
    from meshcourse.node.network import Network
    from meshcourse.node.object_cache import Objects
    from meshcourse.node.port_mappings import PortMappings
    from meshcourse.node.process.control_groups import Group
    from meshcourse.node.pulling.pull_policy import PullPolicy


@dataclass(frozen=True, kw_only=True)
class Node:
    """What the node offers to its pods. `refusals`: how long the next refused pod of an owner stays Pending, by the owner's uid.

    `files` is the folder that is the root of the node for hostPath volumes. `control_groups` is where those of pods are made, None where
    limits do not hold, and `no_control_groups` says why. `requested`: what each pod's containers request, by its uid.
    """

    name: str
    api: Api
    objects: Objects
    events: Events
    network: Network
    ports: PortMappings
    host: Host
    ip: str
    root: Path
    files: Path
    layers: Path
    cluster_dns: str
    cluster_domain: str
    pull_policy: PullPolicy
    control_groups: Group | None
    no_control_groups: str
    refusals: dict[str, restart_policy.Backoff] = field(default_factory=dict)
    requested: dict[str, Mapping[str, Fraction]] = field(default_factory=dict)
