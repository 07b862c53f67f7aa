"""lab.diff_pods: how a webhook changed the pod of a Deployment.

The Deployment's template is what you wrote, with Kubernetes' defaults; the pod is what runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from meshcourse.core import errors
from meshcourse.kube import commands, resources
from meshcourse.lab import session
from meshcourse.mesh.injection import pod_changes
from meshcourse.mesh.injection.pod_changes import Change


@dataclass(frozen=True)
class Difference:
    """The differences between the template and the pod."""

    asked: str
    got: str
    changes: tuple[Change, ...]

    def __repr__(self) -> str:
        if not self.changes:
            return f"{self.got} is as {self.asked} asked for: nothing was changed"
        lines = [f"{self.asked} asked for one pod, {self.got} is what runs (+ added, ~ changed, - removed)"]
        before = ""
        for change in self.changes:
            if change.where != before:
                lines.append(f"\n{change.where}")
                before = change.where
            lines.append(f"  {change.sign} {change.what}")
        return "\n".join(lines)


def diff_pods(deployment: str) -> Difference:
    """Compare a Deployment's template with its newest pod. Raises CourseError when it has none, KubernetesError when it does not exist."""
    namespace = session.current().namespace
    owner = _get("deployment", deployment)
    chosen = ",".join(f"{key}={value}" for key, value in owner["spec"]["selector"]["matchLabels"].items())
    pods = [pod for pod in _get("pods", "-l", chosen)["items"] if not pod["metadata"].get("deletionTimestamp")]
    if not pods:
        raise errors.CourseError(
            f"Deployment {deployment} has no pod in namespace {namespace}.",
            why="a pod that does not exist yet cannot be compared",
            next=f"kubectl describe replicasets -l {chosen}    # the last events say why",
        )
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    changes = pod_changes.compare(owner["spec"]["template"], newest)
    return Difference(f"Deployment {deployment}", f"pod {newest['metadata']['name']}", changes)


def _get(*words: str) -> Any:  # noqa: ANN401 - JSON
    begun = session.current()
    done = commands.run(begun.connection, ["kubectl", "-n", begun.namespace, "get", *words, "-o", "json"], timeout=30.0)
    if done.code:
        raise resources.refusal(done, f"the request for {words[0]}")
    return json.loads(done.stdout)
