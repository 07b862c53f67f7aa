"""Istio's installation: find it, install it, uninstall it, always with the learner's own istioctl.

No flags are passed but the profile; what the embedded cluster's Envoy needs is an admission policy of that cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshcourse.core import errors, settings
from meshcourse.kube import resources
from meshcourse.kube.commands import Report
from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import istioctl

NAMESPACE: Final = settings.ISTIO_NAMESPACE
INGRESS: Final = settings.INGRESS_GATEWAY
EGRESS: Final = "istio-egressgateway"


@dataclass(frozen=True)
class Installation:
    """What runs in istio-system: the version tag of istiod, and (ready, wanted) pods for each Deployment."""

    version: str
    deployments: tuple[tuple[str, int, int], ...]

    @property
    def ready(self) -> bool:
        """Whether istiod exists and every Deployment has all the pods it wants."""
        return any(name == "istiod" for name, _, _ in self.deployments) and all(ready >= wanted for _, ready, wanted in self.deployments)

    @property
    def has_ingress(self) -> bool:
        """Whether it has the ingress gateway (the `minimal` profile does not)."""
        return any(name == INGRESS for name, _, _ in self.deployments)

    def __str__(self) -> str:
        return f"Istio {self.version}: " + ", ".join(f"{name} {ready}/{wanted}" for name, ready, wanted in self.deployments)


def status(connection: Connection) -> Installation | None:
    """The installation, or None when there is no istiod; objects that are being deleted do not count.

    Raises KubernetesError when the cluster does not answer.
    """
    found = resources.read(connection.apps().list_namespaced_deployment, NAMESPACE)
    rows = tuple(
        sorted(
            (item.metadata.name, int(item.status.available_replicas or 0), int(item.spec.replicas or 0))
            for item in (found.items if found else ())
            if item.metadata.deletion_timestamp is None
        )
    )
    if not any(name == "istiod" for name, _, _ in rows):
        return None
    istiod = next(item for item in found.items if item.metadata.name == "istiod")
    image = istiod.spec.template.spec.containers[0].image
    return Installation(image.rpartition(":")[2], rows)


def install(connection: Connection, profile: str = settings.DEFAULT_PROFILE, *, report: Report | None = None) -> Installation:
    """Run `istioctl install --set profile=PROFILE -y` and wait until every pod is ready. Safe to run again.

    `report` gets the finished steps that istioctl prints, without its logo and its progress lines. Raises MeshError with istioctl's message
    when it fails.
    """

    def finished(line: str) -> None:
        if report and "\N{HEAVY CHECK MARK}" in line:
            report(line)

    istioctl.run(connection, "install", "--set", f"profile={profile}", "-y", report=finished)
    return wait_until_ready(connection, report=report)


def wait_until_ready(connection: Connection, *, report: Report | None = None, timeout: float = 180.0) -> Installation:
    """Wait for every Deployment in istio-system. Raises MeshError when there is none, KubernetesError when one does not get ready."""
    found = status(connection)
    if found is None:
        raise errors.MeshError(
            "Istio is not installed in this cluster.", next=f"istioctl install --set profile={settings.DEFAULT_PROFILE} -y"
        )
    if not found.ready:
        resources.wait_for_rollout(connection, NAMESPACE, [name for name, _, _ in found.deployments], report=report, timeout=timeout)
        found = status(connection)
        assert found is not None  # noqa: S101 - a Deployment that was ready a moment ago
    return found


def uninstall(connection: Connection, *, report: Report | None = None) -> None:
    """Run `istioctl uninstall --purge -y`, then delete istio-system, as the guide does for a clean cluster."""
    istioctl.run(connection, "uninstall", "--purge", "-y", report=report)
    resources.delete(connection, f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n")
