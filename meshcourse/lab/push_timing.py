"""lab.push_time: how many milliseconds a push of istiod takes to its Envoys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from meshcourse.core import errors, tables
from meshcourse.course import chapters
from meshcourse.kube import manifests, resources
from meshcourse.kube import pods as ready_pods
from meshcourse.lab import session
from meshcourse.measure import pushes
from meshcourse.measure.pushes import Push
from meshcourse.mesh.injection import sidecars


@dataclass(frozen=True)
class Timed:
    """One push, measured."""

    what: str
    push: Push

    def milliseconds(self) -> dict[str, int | None]:
        """By proxy; None where it never arrived."""
        return {name: None if seconds is None else round(1000 * seconds) for name, seconds in self.push.arrivals.items()}

    def __repr__(self) -> str:
        if self.push.unchanged:
            return f"{self.what} is unchanged in the cluster, so nothing is pushed"
        found = self.milliseconds()
        longest = max((value for value in found.values() if value), default=1)
        lines = [f"the API server stored {self.what} in {1000 * self.push.stored:.0f} ms; from then on:"]
        came = {
            name: "never came" if value is None else f"{value:>5} ms  {tables.bar(max(value / longest, 1 / tables.BAR))}"
            for name, value in found.items()
        }
        return "\n".join([*lines, *tables.columns(tuple(came.items()), "  "), *(f"! {each}" for each in self.push.rejected)])


def push_time(manifest: str, *workloads: str) -> Timed:
    """Store the one VirtualService of `manifest` (a file of the chapter's) and time its arrival in each workload's Envoy.

    A workload is a Deployment's name, or NAME.NAMESPACE; the default is all of the chapter's Deployments with a sidecar. Raises CourseError
    when the file is not one VirtualService, KubernetesError when it is refused.
    """
    begun = session.current()
    path = Path(manifest) if Path(manifest).exists() else chapters.folder() / manifest
    found = manifests.load(path)
    if len(found) != 1 or found[0]["kind"] != "VirtualService":
        raise errors.CourseError(
            f"{manifest} cannot be timed.",
            why=f"it contains {', '.join(str(each['kind']) for each in found) or 'nothing'}, and one VirtualService is needed",
            next='lab.push_time("manifests/01_components/02-greeting.yaml")',
        )
    push = pushes.measure(begun.connection, found[0], begun.namespace, places(*workloads))
    return Timed(f"VirtualService {found[0]['metadata']['name']}", push)


def places(*workloads: str) -> list[tuple[str, str]]:
    """(namespace, Deployment) of each workload; by default of all the chapter's Deployments with a sidecar."""
    namespace = session.current().namespace
    return [_place(each, namespace) for each in workloads] or [(namespace, name) for name in _with_sidecar()]


def _place(workload: str, namespace: str) -> tuple[str, str]:
    name, _, where = workload.partition(".")
    return where or namespace, name


def _with_sidecar() -> list[str]:
    """The chapter's Deployments of which a ready pod has a sidecar."""
    begun = session.current()
    pods = [pod for pod in resources.read(begun.connection.core().list_namespaced_pod, begun.namespace).items if ready_pods.is_ready(pod)]
    held = [pod.metadata.labels or {} for pod in pods if sidecars.has_sidecar(pod)]
    every = resources.read(begun.connection.apps().list_namespaced_deployment, begun.namespace).items
    return [
        str(each.metadata.name)
        for each in every
        if any((each.spec.selector.match_labels or {}).items() <= labels.items() for labels in held)
    ]
