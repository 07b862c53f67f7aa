"""List what a chapter could leave behind in a cluster, and prepare the cluster for the next chapter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from meshcourse.core import settings
from meshcourse.course.chapters import Chapter
from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.lab import istio_before
from meshcourse.mesh.injection import namespaces
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
_COLUMNS: Final = "custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name,L:.metadata.labels.istio-injection,P:.status.phase"


def look(connection: Connection) -> frozenset[str]:
    """Every object of KINDS as `Kind namespace/name`, but for namespaces that are being deleted.

    Raises KubernetesError when one cannot be listed, as Istio's without Istio.
    """
    done = commands.run(connection, ["kubectl", "get", ",".join(KINDS), "-A", "--no-headers", "-o", _COLUMNS])
    if done.code:
        raise resources.refusal(done, "the list of what is in the cluster")
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    ending = {name for _, _, name, _, phase in rows if phase == "Terminating"}
    return frozenset(_line(kind, namespace, name, label) for kind, namespace, name, label, _ in rows if not {namespace, name} & ending)


def _line(kind: str, namespace: str, name: str, label: str) -> str:
    where = name if namespace == "<none>" else f"{namespace}/{name}"
    return f"{kind} {where}" + (f" (istio-injection={label})" if kind == "Namespace" and label != "<none>" else "")


def clear(connection: Connection, chapter: Chapter, *, wait: bool = True) -> None:
    """Delete the chapter's namespaces, and wait until they are gone; install Istio's demo profile again if the chapter removed it."""
    names = (chapter.namespace, *chapter.more_namespaces)
    with ThreadPoolExecutor(len(names)) as several:
        list(several.map(lambda name: namespaces.delete(connection, name, wait=wait), names))
    found = installation.status(connection)
    if found is None or not {name for name, _, _ in found.deployments} >= istio_before.WHOLE:
        installation.install(connection, settings.DEFAULT_PROFILE)
