"""lab.diff_pods: what a webhook made of the pod that a Deployment asked for.

The Deployment's template is what you wrote, with Kubernetes' defaults filled in; the pod is what runs.
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
    """The changes between what was asked for and what came."""

    asked: str
    got: str
    changes: tuple[Change, ...]

    def __repr__(self) -> str:
        if not self.changes:
            return f"{self.got} is just what {self.asked} asked for: nothing was added"
        lines = [f"{self.asked} asked for one pod, {self.got} is what runs (+ added, ~ changed, - taken away)"]
        before = ""
        for change in self.changes:
            if change.where != before:
                lines.append(f"\n{change.where}")
                before = change.where
            lines.append(f"  {change.sign} {change.what}")
        return "\n".join(lines)


def diff_pods(deployment: str) -> Difference:
    """Compare a Deployment's template with its newest pod. Raises CourseError when it has none, KubernetesError when it is not there."""
    namespace = session.current().namespace
    owner = _get("deployment", deployment)
    chosen = ",".join(f"{key}={value}" for key, value in owner["spec"]["selector"]["matchLabels"].items())
    pods = [pod for pod in _get("pods", "-l", chosen)["items"] if not pod["metadata"].get("deletionTimestamp")]
    if not pods:
        raise errors.CourseError(
            f"Deployment {deployment} has no pod in namespace {namespace}.",
            why="a pod that is not made yet cannot be compared",
            next=f"kubectl describe replicasets -l {chosen}    # the last events say what holds it up",
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
