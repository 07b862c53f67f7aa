"""Which pods of a Deployment take requests now.

Comes in: a Connection, a namespace and a Deployment's name. Goes out: the names of its ready pods. Who runs it: whatever asks a
workload's proxies or reads their logs without kubectl. Blocking; a few milliseconds.
"""

from __future__ import annotations

import functools

from meshcourse.core import errors
from meshcourse.mesh import arrival, resources
from meshcourse.mesh.connection import Connection


def ready(connection: Connection, namespace: str, deployment: str) -> tuple[str, ...]:
    """The names, in order; at least one. Raises KubernetesError when there is no such Deployment or none of its pods is ready."""
    found = resources.read(connection.apps().read_namespaced_deployment, deployment, namespace)
    names: list[str] = []
    if found is not None:
        selector = ",".join(f"{name}={value}" for name, value in sorted((found.spec.selector.match_labels or {}).items()))
        listed = functools.partial(connection.core().list_namespaced_pod, label_selector=selector)
        names = sorted(str(pod.metadata.name) for pod in resources.read(listed, namespace).items if arrival.is_ready(pod))
    if not names:
        raise errors.KubernetesError(
            f"No pod of {deployment} is ready in namespace {namespace}.",
            why="there is no such Deployment" if found is None else "its pods are starting or failing",
            next=f"kubectl -n {namespace} get deployments,pods",
        )
    return tuple(names)
