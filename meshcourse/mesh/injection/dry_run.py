"""A pod made only on paper: what the API server and its webhooks would make of it, by `kubectl run --dry-run=server`.

Trial namespaces are never relabelled, since the API server's webhooks learn of a namespace's new label a moment later; there is one for
each set of labels.
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
    """What the pod would be: `containers` with its init containers first; `command` does the same in a terminal."""

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
    """Ask for a pod with these labels, without making it. Raises KubernetesError when the API server or the webhook refuses."""
    words = ["kubectl", "-n", namespace, "run", "trial", f"--image={IMAGE}", "--dry-run=server"]
    words += [f"--labels={','.join(f'{name}={value}' for name, value in labels.items())}"] if labels else []
    ends = time.monotonic() + _PATIENCE
    while True:
        done = commands.run(connection, [*words, "-o", "json"], timeout=30.0)
        if not done.code:
            return read(shlex.join(words), json.loads(done.stdout))
        # A namespace that is new has no service account yet, and no pod is taken before it has.
        if "serviceaccount" not in done.stderr or time.monotonic() > ends:
            raise resources.refusal(done, "the pod")
        time.sleep(_AGAIN)


def read(command: str, pod: Mapping[str, Any]) -> Trial:
    """The Trial that a pod's JSON tells of. A native sidecar is an init container that is restarted for ever, and counts as running."""
    starting = list(pod["spec"].get("initContainers") or ())
    staying = [container for container in starting if container.get("restartPolicy") == "Always"]
    every = [*starting, *pod["spec"]["containers"]]
    return Trial(command, tuple(str(each["name"]) for each in every), len(staying) + len(pod["spec"]["containers"]))


def prepare(connection: Connection, namespace: str, labels: Mapping[str, str], *, by: str) -> None:
    """See to it that a trial namespace with these labels is there, marked as made `by` a chapter.

    Raises MeshError when one of that name has other labels: it is somebody's.
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
            why=f"it has {held or 'no label of Istio'}, and {dict(labels) or 'none'} is needed",
            next=f"kubectl delete namespace {namespace}    # if it is not yours, then try again",
        )
