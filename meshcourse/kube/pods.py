"""Which pods are ready, and since when. Blocking; a few milliseconds."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

from meshcourse.core import errors
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection


def ready(connection: Connection, namespace: str, deployment: str) -> tuple[str, ...]:
    """A Deployment's ready pods, sorted; at least one. Raises KubernetesError when there is none, or no such Deployment."""
    found = resources.read(connection.apps().read_namespaced_deployment, deployment, namespace)
    if found is None:
        raise resources.absent(connection, namespace, "Deployment", deployment)
    selector = ",".join(f"{name}={value}" for name, value in sorted((found.spec.selector.match_labels or {}).items()))
    listed = functools.partial(connection.core().list_namespaced_pod, label_selector=selector)
    names = sorted(str(pod.metadata.name) for pod in resources.read(listed, namespace).items if is_ready(pod))
    if not names:
        scaled = not found.spec.replicas
        raise errors.KubernetesError(
            f"No pod of {deployment} is ready in namespace {namespace}.",
            why="it is scaled to 0 replicas" if scaled else "its pods are starting or failing",
            next=f"kubectl -n {namespace} {f'scale deployment/{deployment} --replicas=1' if scaled else 'get deployments,pods'}",
        )
    return tuple(names)


def is_ready(pod: Any) -> bool:  # noqa: ANN401 - the Kubernetes client is untyped
    """Whether a pod takes requests: ready, and not being deleted."""
    conditions = pod.status.conditions or ()
    return pod.metadata.deletion_timestamp is None and any(each.type == "Ready" and each.status == "True" for each in conditions)


def became_ready(pod: Any) -> float:  # noqa: ANN401 - the Kubernetes client is untyped
    """Seconds since a pod became ready, by this machine's clock; negative when that clock is behind the cluster's."""
    since = max(each.last_transition_time for each in pod.status.conditions if each.type == "Ready")
    return float((dt.datetime.now(dt.UTC) - since).total_seconds())
