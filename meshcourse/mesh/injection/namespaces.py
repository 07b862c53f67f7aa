"""Namespaces in which Istio puts a sidecar into every pod."""

from __future__ import annotations

import enum
from typing import Final

from meshcourse.core import settings
from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection

LABEL: Final = "istio-injection"
NOTE: Final = settings.NOTE


class Change(enum.Enum):
    """What `enable` changed."""

    CREATED = "created"
    LABELLED = "labelled"
    NOTHING = "nothing"


def enable(connection: Connection, namespace: str, *, by: str) -> Change:
    """Ensure that `namespace` exists with istio-injection=enabled; an annotation records what `by` (a chapter) changed."""
    found = resources.read(connection.core().read_namespace, namespace)
    if found is None:
        _create(connection, namespace, by, {LABEL: "enabled"})
        return Change.CREATED
    if (found.metadata.labels or {}).get(LABEL) == "enabled":
        return Change.NOTHING
    note = (found.metadata.annotations or {}).get(NOTE) or f"{by} {Change.LABELLED.value}"
    body = {"metadata": {"labels": {LABEL: "enabled", **owned(connection)}, "annotations": {NOTE: note}}}
    resources.read(connection.core().patch_namespace, namespace, body)
    return Change.LABELLED


def create(connection: Connection, namespace: str, *, by: str) -> bool:
    """Ensure that `namespace` exists, without changing its labels; returns whether `by` (a chapter) created it now."""
    if resources.read(connection.core().read_namespace, namespace) is not None:
        return False
    _create(connection, namespace, by, {})
    return True


def _create(connection: Connection, namespace: str, by: str, labels: dict[str, str]) -> None:
    note = {NOTE: f"{by} {Change.CREATED.value}"}
    body = {"metadata": {"name": namespace, "labels": {**labels, **owned(connection), **_learners(connection)}, "annotations": note}}
    resources.read(connection.core().create_namespace, body)


def owned(connection: Connection) -> dict[str, str]:
    """The label of objects made in an existing cluster, by which `meshcourse down` finds them; empty in a cluster made here."""
    owner = connection.environment.get(settings.OWNER_VARIABLE, "")
    return {settings.OWNER_LABEL: owner} if owner else {}


def _learners(connection: Connection) -> dict[str, str]:
    """The labels that a learner's namespace on a shared cluster has from its creation on."""
    if not connection.learner:
        return {}
    return {settings.LEARNER_LABEL: connection.learner, settings.PORT_LABEL: str(connection.gateway_port)}


def mark(connection: Connection, namespace: str, *, by: str) -> None:
    """Record on `namespace` that `by` created it, where another program did: istioctl creates istio-system."""
    body = {"metadata": {"labels": owned(connection), "annotations": {NOTE: f"{by} {Change.CREATED.value}"}}}
    resources.read(connection.core().patch_namespace, namespace, body)


def brought(connection: Connection, namespace: str, *, by: str) -> Change:
    """What `by` changed in `namespace`, by its annotation."""
    found = resources.read(connection.core().read_namespace, namespace)
    note = "" if found is None else (found.metadata.annotations or {}).get(NOTE, "")
    return next((change for change in Change if note == f"{by} {change.value}"), Change.NOTHING)


def undo(connection: Connection, namespace: str, *, by: str) -> Change:
    """Undo what `by` did: delete the namespace that it created (and wait until it is gone), or remove the label that it set."""
    change = brought(connection, namespace, by=by)
    if change is Change.CREATED:
        delete(connection, namespace)
    elif change is Change.LABELLED:
        unlabel(connection, namespace)
    return change


def delete(connection: Connection, namespace: str, *, wait: bool = True) -> None:
    """Delete a namespace, and wait until it is gone. Its pods get one second to end."""
    # The namespace controller checks after five seconds, and again after five more if a pod is still terminating.
    commands.run(connection, ["kubectl", "delete", "namespace", namespace, "--ignore-not-found", "--wait=false"], timeout=30.0)
    pods = ["delete", "pods", "--all", "--grace-period=1", "--wait=false"]
    commands.run(connection, ["kubectl", "-n", namespace, *pods], timeout=60.0)
    if wait:
        resources.delete(connection, f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n")


def unlabel(connection: Connection, namespace: str) -> None:
    """Remove the labels and the annotation that `enable` set on a namespace that existed before."""
    body = {"metadata": {"labels": {LABEL: None, settings.OWNER_LABEL: None}, "annotations": {NOTE: None}}}
    resources.read(connection.core().patch_namespace, namespace, body)
