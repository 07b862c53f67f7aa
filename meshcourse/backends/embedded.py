"""The default backend: a cluster of upstream programs in namespaces of this machine, without Docker or root.

It implements the backend protocol on top of meshcourse.cluster.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from meshcourse.backends import programs
from meshcourse.backends.backend import Component, Port, Report, Status
from meshcourse.cluster import clusters, node_power
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError
from meshcourse.engine import build
from meshcourse.engine.go_programs import CRANE
from meshcourse.node.pulling import crane, store


@dataclass(frozen=True)
class Embedded:
    """The embedded cluster called `name`. A port of 0 means any that is free; `images` is one of settings.IMAGE_SOURCES."""

    name: str = settings.DEFAULT_CLUSTER
    api_port: int = 0
    ingress_port: int = settings.INGRESS_NODE_PORT
    images: str = settings.TABLE
    egress: bool = False
    nodes: int = 1

    def up(self, report: Report) -> Status:
        """Build the engine where it is missing (and crane, if images are pulled), and start the cluster unless it runs."""
        if clusters.find(self.name) is None:
            build.ensure()
            if self.images != settings.TABLE:
                CRANE.ensure()
            if self.images == settings.ISTIOS_OWN:
                _reach_istios_images()
        clusters.up(
            self.name,
            api_port=self.api_port,
            ingress_port=self.ingress_port,
            images=self.images,
            egress=self.egress,
            nodes=self.nodes,
            report=report,
        )
        return self.status()

    def down(self, report: Report = lambda _: None) -> bool:  # noqa: ARG002 - there is nothing to report: it takes a tenth of a second
        """Stop the cluster; False when it did not run."""
        return clusters.down(self.name)

    def status(self) -> Status:
        """The cluster and its components. Raises ClusterError when it does not run."""
        cluster = clusters.get(self.name)
        components = tuple(Component(each.name, each.state, each.restarts, each.since) for each in clusters.health(cluster))
        api = f"https://127.0.0.1:{cluster.api_port}"
        return Status(
            cluster.name,
            "embedded",
            cluster.version,
            cluster.started,
            api,
            cluster.ingress_url,
            cluster.kubeconfig,
            components,
            cluster.images,
            cluster.egress,
            tuple(
                Port(f"{each.namespace}/{each.service}", each.name, each.address, each.port, each.why) for each in clusters.ports(cluster)
            ),
            tuple(name for name, state in node_power.states(cluster).items() if state == node_power.STOPPED),
        )

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig. Raises ClusterError when the cluster does not run."""
        return clusters.get(self.name).kubeconfig

    def ingress_url(self) -> str:
        """Where the ingress gateway answers. Raises ClusterError when the cluster does not run."""
        return clusters.get(self.name).ingress_url

    def settle(self) -> None:
        """Do nothing: an admission policy gives the gateway its NodePort."""

    def environment(self) -> Mapping[str, str]:
        """What a shell needs so that plain kubectl and istioctl act on this cluster."""
        cluster = clusters.get(self.name)
        return {
            "KUBECONFIG": str(cluster.kubeconfig),
            "INGRESS_URL": cluster.ingress_url,
            "MESHCOURSE_CLUSTER": cluster.name,
            "PATH": programs.search_path(os.environ.get("PATH", os.defpath)),
        }


def _reach_istios_images() -> None:
    """Check, before anything starts, that Istio's images are there or can be pulled. Raises ClusterError."""
    for image in ("pilot", "proxyv2"):
        reference = f"{settings.ISTIO_HUB}/{image}:{settings.ISTIO}"
        if store.named(reference) is None:
            try:
                asyncio.run(crane.meaning(reference))
            except crane.PullFailed as failure:
                raise ClusterError(
                    f"Istio's own image {reference} cannot be pulled.",
                    why=str(failure),
                    next="meshcourse up ... --images registry",
                ) from failure


def running() -> tuple[Embedded, ...]:
    """Every embedded cluster of this user that runs."""
    return tuple(Embedded(cluster.name, cluster.api_port, cluster.ingress_port, cluster.images) for cluster in clusters.running())
