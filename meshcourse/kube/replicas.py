"""Read and set the number of a Deployment's replicas.

Blocking; a few milliseconds.
"""

from __future__ import annotations

from meshcourse.kube import resources
from meshcourse.kube.connection import Connection


def read(connection: Connection, namespace: str, deployment: str) -> int | None:
    """The wanted replicas; None when there is no such Deployment."""
    found = resources.read(connection.apps().read_namespaced_deployment_scale, deployment, namespace)
    return None if found is None else int(found.spec.replicas or 0)


def write(connection: Connection, namespace: str, deployment: str, wanted: int) -> None:
    """Set the wanted replicas. Raises KubernetesError when the API server refuses."""
    scale = connection.apps().patch_namespaced_deployment_scale
    refusal = f"Deployment {deployment} cannot be scaled to {wanted}."
    resources.ask(scale, deployment, namespace, {"spec": {"replicas": wanted}}, refusal=refusal)
