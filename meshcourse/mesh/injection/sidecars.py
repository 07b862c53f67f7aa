"""Whether a pod has a sidecar. Pure."""

from __future__ import annotations

from typing import Any


def has_sidecar(pod: Any) -> bool:  # noqa: ANN401 - the Kubernetes client is untyped
    """Whether a pod carries Istio's proxy, as a container or as a native sidecar."""
    every = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    return any(container.name == "istio-proxy" for container in every)
