"""What the course made in an existing cluster: found by its label, and removed.

Lessons label every namespace that they create or change, and istio-system when the course installed Istio; an annotation says which of
the two it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.backends import rbac
from meshcourse.backends.backend import Report
from meshcourse.core import settings
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import namespaces
from meshcourse.mesh.install import installation

_CREATED: Final = " created"


@dataclass(frozen=True)
class Belongings:
    """Namespaces to delete, namespaces to remove the injection label from, and whether to uninstall Istio."""

    created: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    istio: bool = False


def sort(listed: Iterable[Mapping[str, Any]]) -> Belongings:
    """Sort the labelled namespaces by their annotation."""
    created: list[str] = []
    labelled: list[str] = []
    istio = False
    for each in listed:
        name = each["metadata"]["name"]
        made = each["metadata"].get("annotations", {}).get(settings.NOTE, "").endswith(_CREATED)
        if name == installation.NAMESPACE:
            istio = made
        else:
            (created if made else labelled).append(name)
    return Belongings(tuple(created), tuple(labelled), istio)


def find(connection: Connection, owner: str) -> Belongings:
    """What was made or labelled for `owner`. Raises KubernetesError when the cluster does not answer."""
    label = f"{settings.OWNER_LABEL}={owner}"
    listed = resources.ask(connection.core().list_namespace, label_selector=label, _request_timeout=rbac.PATIENCE)
    return sort(connection.plain(listed)["items"])


def remove(connection: Connection, found: Belongings, report: Report) -> None:
    """Remove what was found and wait until it is gone. Raises KubernetesError or MeshError."""
    if found.created:
        report(f"deleting namespaces {', '.join(found.created)}, which lessons made")
        with ThreadPoolExecutor(max_workers=8) as several:  # each takes seconds to go
            list(several.map(lambda name: namespaces.delete(connection, name), found.created))
    if found.labelled:
        report(f"removing the label {namespaces.LABEL} from {', '.join(found.labelled)}")
        for name in found.labelled:
            namespaces.unlabel(connection, name)
    if found.istio:
        report("istioctl uninstall --purge -y, since meshcourse installed Istio")
        installation.uninstall(connection)
