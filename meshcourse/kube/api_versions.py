"""Which API version of Istio's kinds a cluster serves, and manifests in that version. Blocking; one request for each cluster.

Istio's kinds are v1 from 1.22 on, and v1beta1 before.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from meshcourse.core import errors
from meshcourse.kube.connection import Connection

NETWORKING: Final = "networking.istio.io"
NEWEST: Final = "v1"
OLDER: Final = "v1beta1"
_OWN: Final = re.compile(
    r"^(\s*(?:-\s+)?apiVersion:\s*[\"']?(?:networking|security|telemetry)\.istio\.io/)v1(?=[\"']?\s*(?:#.*)?$)", re.MULTILINE
)


def networking(connection: Connection) -> tuple[str, str]:
    """(group, version) by which this cluster serves VirtualService and the others; v1 where that is unknown, for example without Istio."""
    try:
        return NETWORKING, served(connection.kubeconfig, connection.kubeconfig.stat().st_mtime_ns, connection.api())
    except (ApiException, OSError, urllib3.exceptions.HTTPError, errors.MeshcourseError):
        return NETWORKING, NEWEST


@functools.lru_cache(maxsize=16)
def served(kubeconfig: Path, changed: int, api: client.ApiClient) -> str:  # noqa: ARG001 - the first two tell clusters apart in the cache
    """The version to use. Raises ApiException when the cluster has none of Istio's kinds; the cache then stays empty."""
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
    """`manifest` with Istio's kinds in `version`; everything else stays the same, comments too."""
    return manifest if version == NEWEST else _OWN.sub(rf"\g<1>{version}", manifest)
