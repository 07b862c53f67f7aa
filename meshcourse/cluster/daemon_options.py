"""The daemon's options, and its sockets in the host's network."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from meshcourse.cluster import gateway_ports, places
from meshcourse.core import settings
from meshcourse.node.process.control_groups import Group

LOCK = "lock"
"""A file in the cluster's folder: every process of the daemon holds its lock."""
STOPPED_NODES = "stopped"
"""A folder in it, with an empty file for each node that `meshcourse node stop` has stopped."""


@dataclass(frozen=True)
class Options:
    """The options of the daemon."""

    name: str
    home: Path
    api_port: int
    ingress_port: int
    images: str
    egress: bool
    nodes: int
    report: int

    @classmethod
    def parse(cls, words: list[str] | None) -> Self:
        """Read them from the command line."""
        parser = argparse.ArgumentParser(
            prog="meshcourse.cluster.daemon", description="Run one embedded cluster (meshcourse up starts this)."
        )
        parser.add_argument("--name", required=True)
        parser.add_argument("--home", required=True, type=Path)
        parser.add_argument("--api-port", type=int, default=0)
        parser.add_argument("--ingress-port", type=int, default=settings.INGRESS_NODE_PORT)
        parser.add_argument("--images", choices=settings.IMAGE_SOURCES, default=settings.IMAGE_SOURCES[0])
        parser.add_argument("--egress", action="store_true")
        parser.add_argument("--nodes", type=int, default=1)
        parser.add_argument("--report", type=int, default=1)
        return cls(**vars(parser.parse_args(words)))

    @property
    def logs(self) -> Path:
        """The folder of the components' logs."""
        return self.home / "logs"

    @property
    def places(self) -> tuple[places.Place, ...]:
        """The cluster's nodes."""
        return places.planned(self.name, self.nodes)

    @property
    def stopped(self) -> Path:
        """The folder with a file for each node that is stopped."""
        return self.home / STOPPED_NODES


@dataclass(frozen=True)
class Outside:
    """What the cluster has of the host: `listeners` on 127.0.0.1, connections to the processes that stayed there, its control group.

    `no_control_groups` says why there is none.
    """

    listeners: Mapping[str, socket.socket]
    sockets: socket.socket
    puller: socket.socket | None
    control_groups: Group | None = None
    no_control_groups: str = ""

    def port(self, listener: str) -> int:
        """The number of a listener's port."""
        return int(self.listeners[listener].getsockname()[1])

    @property
    def node_port(self) -> int:
        """The NodePort of the ingress gateway's port 80: the port that this machine has for it, where that can be a NodePort."""
        port = self.port("ingress")
        return port if port in gateway_ports.NODE_PORTS else settings.INGRESS_NODE_PORT

    @property
    def reserved(self) -> frozenset[int]:
        """NodePorts that have listeners already."""
        return frozenset({self.port("ingress"), self.port("https")})
