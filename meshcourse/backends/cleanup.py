"""What the course made in a cluster of somebody else's, found by its label and taken away again.

Lessons put the label on every namespace that they make or label, and on istio-system when it was the course that installed Istio; the
annotation beside it says which of the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshcourse.backends import programs
from meshcourse.backends.backend import Report
from meshcourse.backends.ingress import NAMESPACE as ISTIO
from meshcourse.core import settings

_CREATED: Final = " created"


@dataclass(frozen=True)
class Belongings:
    """Namespaces to delete, namespaces to take the injection label from, and whether Istio is to be uninstalled."""

    created: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    istio: bool = False


def sort(namespaces: Iterable[Mapping[str, Any]]) -> Belongings:
    """What to do about each namespace that has the label, by its annotation."""
    created: list[str] = []
    labelled: list[str] = []
    istio = False
    for each in namespaces:
        name = each["metadata"]["name"]
        made = each["metadata"].get("annotations", {}).get(settings.NOTE, "").endswith(_CREATED)
        if name == ISTIO:
            istio = made
        else:
            (created if made else labelled).append(name)
    return Belongings(tuple(created), tuple(labelled), istio)


def find(environment: Mapping[str, str], owner: str) -> Belongings:
    """What is there of `owner`'s. Raises ClusterError when the cluster does not answer."""
    words: list[str | Path] = [
        programs.kubectl(),
        "get",
        "namespaces",
        "-l",
        f"{settings.OWNER_LABEL}={owner}",
        "-o",
        "json",
        "--request-timeout=20s",
    ]
    return sort(json.loads(programs.run(words, environment, timeout=60.0))["items"])


def remove(environment: Mapping[str, str], found: Belongings, report: Report) -> None:
    """Take `found` away and wait until it is gone. Raises ClusterError."""
    kubectl = programs.kubectl()
    if found.created:
        report(f"deleting namespaces {', '.join(found.created)}, which lessons made")
        programs.run([kubectl, "delete", "namespace", "--ignore-not-found", "--wait", *found.created], environment)
    if found.labelled:
        report(f"taking the label istio-injection from {', '.join(found.labelled)}")
        marks = ["istio-injection-", f"{settings.OWNER_LABEL}-"]
        programs.run([kubectl, "label", "namespace", *found.labelled, *marks], environment)
        programs.run([kubectl, "annotate", "namespace", *found.labelled, f"{settings.NOTE}-"], environment)
    if found.istio:
        report("istioctl uninstall --purge -y, since meshcourse installed Istio")
        programs.run(["istioctl", "uninstall", "--purge", "-y"], environment)
        programs.run([kubectl, "delete", "namespace", ISTIO, "--ignore-not-found", "--wait"], environment)
