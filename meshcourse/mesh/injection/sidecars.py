"""Which pods have a sidecar, and why a workload has none. All but `proxied` is pure."""

from __future__ import annotations

import functools
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube import pods, resources
from meshcourse.kube.connection import Connection

PROXY: Final = "istio-proxy"
INJECT: Final = "sidecar.istio.io/inject"


def has_sidecar(pod: Any) -> bool:  # noqa: ANN401 - the Kubernetes client is untyped
    """Whether a pod carries Istio's proxy, as a container or as a native sidecar."""
    every = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    return any(container.name == PROXY for container in every)


def proxied(connection: Connection, namespace: str, workload: str) -> tuple[str, ...]:
    """The pods of a workload ("web", "deployment/web", "pod/web-1") that have a sidecar, those that are ready first; at least one.

    Raises KubernetesError, with what to do, when there is no such workload, it has no pod, or none of its pods has a sidecar.
    """
    kind, _, name = workload.rpartition("/")
    core, alone = connection.core(), kind in {"pod", "pods", "po"}
    if alone:
        pod = resources.read(core.read_namespaced_pod, name, namespace)
        if pod is None:
            raise resources.absent(connection, namespace, "pod", name)
        found = [pod]
    else:
        owner = resources.read(connection.apps().read_namespaced_deployment, name, namespace)
        if owner is None:
            raise resources.absent(connection, namespace, "Deployment", name)
        selector = ",".join(f"{key}={value}" for key, value in sorted((owner.spec.selector.match_labels or {}).items()))
        found = resources.read(functools.partial(core.list_namespaced_pod, label_selector=selector), namespace).items
        if not found:
            raise no_pods(namespace, name, owner.spec.replicas)
    held = [pod for pod in sorted(found, key=pods.is_ready, reverse=True) if has_sidecar(pod)]
    if not held:
        labels = resources.read(core.read_namespace, namespace).metadata.labels or {}
        raise without(found[0], f"pod {name}" if alone else f"Deployment {name}", labels)
    return tuple(str(pod.metadata.name) for pod in held)


def no_pods(namespace: str, name: str, replicas: int | None) -> errors.KubernetesError:
    """The error for a Deployment without a pod."""
    if not replicas:
        why, following = "it is scaled to 0 replicas", f"kubectl -n {namespace} scale deployment/{name} --replicas=1"
    else:
        why = f"it wants {replicas} replicas, and no pod could be created yet"
        following = f"kubectl -n {namespace} describe deployment/{name} replicasets"
    return errors.KubernetesError(f"Deployment {name} has no pod in namespace {namespace}.", why=why, next=following)


def without(pod: Any, what: str, namespace_labels: dict[str, str]) -> errors.KubernetesError:  # noqa: ANN401 - the Kubernetes client is untyped
    """The error for a workload without a sidecar: the reason, as far as labels show it, and what to type."""
    namespace = str(pod.metadata.namespace)
    marks = {**(pod.metadata.annotations or {}), **(pod.metadata.labels or {})}
    again = f"kubectl -n {namespace} rollout restart {what.lower().replace(' ', '/')}"
    if what.startswith("pod "):
        again = f"kubectl -n {namespace} delete {what}    # its controller creates a new one; otherwise apply it again"
    if marks.get(INJECT) == "false":
        why, following = f"its pods say {INJECT}: false", f"remove that from the pod's template; then {again}"
    elif namespace_labels.get("istio-injection") == "enabled" or "istio.io/rev" in namespace_labels:
        why, following = "its pods were created before the namespace got its label for sidecars, or while istiod did not run", again
    else:
        why = f"namespace {namespace} has no label that asks for sidecars"
        following = f"kubectl label namespace {namespace} istio-injection=enabled; {again}"
    return errors.KubernetesError(
        f"{what[0].upper()}{what[1:]} has no sidecar in namespace {namespace}: there is no Envoy to read.", why=why, next=following
    )
