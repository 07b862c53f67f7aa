"""Where versions of Istio differ in what the lessons show, in one table, and which version a cluster has.

Comes in: a version, or a Connection. Goes out: the differences that matter for a chapter, the API version of Istio's kinds that the cluster
serves, and manifests in that version. Who runs it: lab.chapter (it says the differences), resources.py (it applies what can be applied),
and whoever asks for one of Istio's objects. The text of the lessons is Istio 1.31's; on an older one these lines stand above it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from meshcourse.core import errors
from meshcourse.mesh.connection import Connection

NETWORKING: Final = "networking.istio.io"
NEWEST: Final = "v1"
OLDER: Final = "v1beta1"
_OWN: Final = re.compile(
    r"^(\s*(?:-\s+)?apiVersion:\s*[\"']?(?:networking|security|telemetry)\.istio\.io/)v1(?=[\"']?\s*(?:#.*)?$)", re.MULTILINE
)


@dataclass(frozen=True)
class Difference:
    """Up to `since` Istio was as `before` says, and from then on as `after`; `chapters` are the numbers of those whose text shows it."""

    name: str
    since: tuple[int, int]
    before: str
    after: str
    chapters: tuple[int, ...]


# Sources: istio.io's change notes of 1.14 (load balancing), 1.22 (APIs), 1.24 (retries, istioctl) and 1.27 (istioctl).
DIFFERENCES: Final = (
    Difference(
        "load balancing",
        (1, 14),
        "requests go to a service's pods in turn (ROUND_ROBIN) where no DestinationRule says otherwise",
        "of two pods chosen at random the one with fewer open requests gets it (LEAST_REQUEST)",
        (5, 6),
    ),
    Difference(
        "API version",
        (1, 22),
        "Istio's kinds are v1beta1; lab.apply translates, and for kubectl: sed -i 's#istio.io/v1$#istio.io/v1beta1#' manifests/*/*.yaml",
        "Istio's kinds are v1",
        tuple(range(11)),
    ),
    Difference(
        "503 retried by default",
        (1, 24),
        "an answer of 503 is retried twice unasked, so fewer of them reach the caller than the text says",
        "an answer of 503 is retried only when `retryOn` asks for it",
        (6, 8, 10),
    ),
    Difference(
        "profiles",
        (1, 24),
        "`istioctl profile dump demo` shows a profile, too",
        "`istioctl manifest generate --set profile=demo` is the way to look into a profile",
        (2,),
    ),
    Difference(
        "proxy-status columns",
        (1, 27),
        "`istioctl proxy-status` has a column for each type (CDS, LDS, EDS, RDS), each SYNCED, STALE or NOT SENT",
        "`istioctl proxy-status` counts the types in one column, SUBSCRIBED TYPES",
        (1,),
    ),
)


def number(version: str) -> tuple[int, int]:
    """(1, 18) for 1.18.2, v1.18 and 1.18-alpha.1; of what is no version, such as a tag `latest`, the newest that lessons know."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (1, 31)


def older(version: str, difference: Difference) -> bool:
    """Whether `version` is as `before` says."""
    return number(version) < difference.since


def notes(version: str, chapter: int) -> tuple[str, ...]:
    """What is otherwise than the chapter's text says, one line each; none on today's Istio."""
    return tuple(
        f"Istio {version}: {each.before} ({'.'.join(map(str, each.since))} and newer: {each.after})"
        for each in DIFFERENCES
        if chapter in each.chapters and older(version, each)
    )


def networking(connection: Connection) -> tuple[str, str]:
    """(group, version) by which this cluster serves VirtualService and the others; v1 where it cannot be told, as without Istio."""
    try:
        return NETWORKING, served(connection.kubeconfig, connection.kubeconfig.stat().st_mtime_ns, connection.api())
    except (ApiException, OSError, urllib3.exceptions.HTTPError, errors.MeshcourseError):
        return NETWORKING, NEWEST


@functools.lru_cache(maxsize=16)
def served(kubeconfig: Path, changed: int, api: client.ApiClient) -> str:  # noqa: ARG001 - the first two make a new cluster a new key
    """The version to use. Raises ApiException when the cluster has none of Istio's kinds, so that no answer is remembered."""
    listed = client.CustomObjectsApi(api).get_api_resources
    try:
        listed(NETWORKING, NEWEST)
    except ApiException as error:
        if error.status != 404:  # noqa: PLR2004 - Not Found
            raise
        listed(NETWORKING, OLDER)
        return OLDER
    return NEWEST


def in_version(manifest: str, version: str) -> str:
    """`manifest` with Istio's own kinds in `version`; everything else, comments too, as it was."""
    return manifest if version == NEWEST else _OWN.sub(rf"\g<1>{version}", manifest)
