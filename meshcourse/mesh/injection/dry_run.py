"""A pod as the API server and its webhooks would make it, by `kubectl run --dry-run=server`.

There is one trial namespace for each set of labels. They are never relabelled, since webhooks see a new label of a namespace only a moment
later.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import namespaces

SIDECAR: Final = "istio-proxy"
IMAGE: Final = "nginx"
_PATIENCE: Final = 10.0
_AGAIN: Final = 0.05


@dataclass(frozen=True)
class Trial:
    """The pod as it would be: `containers` with its init containers first; `command` does the same in a terminal."""

    command: str
    containers: tuple[str, ...]
    running: int

    @property
    def injected(self) -> bool:
        """Whether one of them is Istio's proxy."""
        return SIDECAR in self.containers

    @property
    def ready(self) -> str:
        """What `kubectl get pods` would show under READY once it runs."""
        return f"{self.running}/{self.running}"


def attempt(connection: Connection, namespace: str, labels: Mapping[str, str]) -> Trial:
    """Dry-run a pod with these labels. Raises KubernetesError when the API server or the webhook refuses."""
    words = ["kubectl", "-n", namespace, "run", "trial", f"--image={IMAGE}", "--dry-run=server"]
    words += [f"--labels={','.join(f'{name}={value}' for name, value in labels.items())}"] if labels else []
    ends = time.monotonic() + _PATIENCE
    while True:
        done = commands.run(connection, [*words, "-o", "json"], timeout=30.0)
        if not done.code:
            return read(shlex.join(words), json.loads(done.stdout))
        # A new namespace has no service account yet, and until it has one no pod is accepted.
        if "serviceaccount" not in done.stderr or time.monotonic() > ends:
            raise resources.refusal(done, "the pod")
        time.sleep(_AGAIN)


def read(command: str, pod: Mapping[str, Any]) -> Trial:
    """The Trial from a pod's JSON. A native sidecar is an init container with restartPolicy Always, and counts as running."""
    starting = list(pod["spec"].get("initContainers") or ())
    staying = [container for container in starting if container.get("restartPolicy") == "Always"]
    every = [*starting, *pod["spec"]["containers"]]
    return Trial(command, tuple(str(each["name"]) for each in every), len(staying) + len(pod["spec"]["containers"]))


def prepare(connection: Connection, namespace: str, labels: Mapping[str, str], *, by: str) -> None:
    """Ensure that a trial namespace with these labels exists, marked as made `by` a chapter.

    Raises MeshError when one of that name has other labels.
    """
    found = resources.read(connection.core().read_namespace, namespace)
    if found is None:
        note = {namespaces.NOTE: f"{by} {namespaces.Change.CREATED.value}"}
        body = {"metadata": {"name": namespace, "labels": dict(labels), "annotations": note}}
        resources.read(connection.core().create_namespace, body)
        return
    held = {name: value for name, value in (found.metadata.labels or {}).items() if name.startswith(("istio-injection", "istio.io/"))}
    if held != dict(labels):
        raise errors.MeshError(
            f"Namespace {namespace} has other labels than this trial needs.",
            why=f"it has {held or 'no label of Istio'}; the trial needs {dict(labels) or 'none'}",
            next=f"kubectl delete namespace {namespace}    # unless you need it; then try again",
        )
