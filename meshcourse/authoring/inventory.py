"""List what a chapter could leave behind in a cluster, and prepare the cluster for the next chapter."""

from __future__ import annotations

from typing import Final

from meshcourse.core import settings
from meshcourse.course.chapters import Chapter
from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.lab import istio_before
from meshcourse.mesh.install import installation

KINDS: Final = (
    "namespaces",
    "deployments",
    "services",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "gateways.networking.istio.io",
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "serviceentries.networking.istio.io",
    "sidecars.networking.istio.io",
    "envoyfilters.networking.istio.io",
    "peerauthentications.security.istio.io",
    "authorizationpolicies.security.istio.io",
    "requestauthentications.security.istio.io",
    "telemetries.telemetry.istio.io",
)
"""The kinds to list. Namespaces are listed with their label istio-injection."""
_COLUMNS: Final = "custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name,L:.metadata.labels.istio-injection"


def look(connection: Connection) -> frozenset[str]:
    """Every object of KINDS as `Kind namespace/name`. Raises KubernetesError when one cannot be listed, as Istio's without Istio."""
    done = commands.run(connection, ["kubectl", "get", ",".join(KINDS), "-A", "--no-headers", "-o", _COLUMNS])
    if done.code:
        raise resources.refusal(done, "the list of what is in the cluster")
    return frozenset(_line(line.split()) for line in done.stdout.splitlines() if line.strip())


def _line(fields: list[str]) -> str:
    kind, namespace, name, label = (*fields, "<none>", "<none>", "<none>", "<none>")[:4]
    where = name if namespace == "<none>" else f"{namespace}/{name}"
    return f"{kind} {where}" + (f" (istio-injection={label})" if kind == "Namespace" and label != "<none>" else "")


def clear(connection: Connection, chapter: Chapter) -> None:
    """Delete the chapter's namespaces and wait until they are gone; install Istio's demo profile again if the chapter removed it."""
    for namespace in (chapter.namespace, *chapter.more_namespaces):
        resources.delete(connection, f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n")
    found = installation.status(connection)
    if found is None or not {name for name, _, _ in found.deployments} >= istio_before.WHOLE:
        installation.install(connection, settings.DEFAULT_PROFILE)
