"""A learner's namespace on a shared cluster: the objects of tenancy.yaml, and the learner's own port of the ingress gateway.

Each namespace gets a Sidecar, a quota and a network policy, the last two only where the learner may create them; refused ones are named.
The API server's policies (backends/learners.yaml) limit a learner's Gateways to the learner's own port.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from meshcourse.core import errors, settings
from meshcourse.kube import api_versions, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import namespaces

FILE: Final = Path(__file__).with_name("tenancy.yaml")
PARTS: Final = {
    "Sidecar": "its Envoys get the configuration of every namespace",
    "ResourceQuota": "nothing limits how much it may run",
    "NetworkPolicy": "other learners' pods can call its pods",
}
"""The kinds in FILE, and the consequence when one is missing."""
_FORBIDDEN: Final = 403


def must_be_own(connection: Connection, namespace: str) -> None:
    """Raises MeshError when `namespace` exists and is not this learner's: it may be another learner's of the same name."""
    found = resources.read(connection.core().read_namespace, namespace)
    if found is not None and not namespaces.owned(connection).items() <= (found.metadata.labels or {}).items():
        raise errors.MeshError(
            f"Namespace {namespace} was not made for you.",
            why=f"it lacks the label {settings.OWNER_LABEL}={namespaces.owned(connection)[settings.OWNER_LABEL]}",
            next=f"meshcourse down --name {connection.environment['MESHCOURSE_CLUSTER']}    # then `up` with another --learner",
        )


def set_up(connection: Connection, namespace: str) -> tuple[str, ...]:
    """Apply FILE in `namespace`; returns a line for each part that the API server forbids. Raises KubernetesError for other refusals."""
    return tuple(
        f"{part['kind']} {part['metadata']['name']} in {namespace}: forbidden, so {PARTS[part['kind']]}"
        for part in yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
        if not _applied(connection, namespace, part)
    )


def _applied(connection: Connection, namespace: str, part: dict[str, Any]) -> bool:
    try:
        resources.apply(connection, yaml.safe_dump(part), namespace=namespace)
    except errors.KubernetesError as error:
        if error.code != _FORBIDDEN:
            raise
        return False
    return True


def must_hold(connection: Connection, namespace: str, *, policies: Path) -> None:
    """Raises MeshError unless a Gateway in `namespace` would get the learner's port, and no other learner has that port.

    The API server is asked by a dry run, so that nothing is created. `policies` is the file that an administrator applies.
    """
    group, version = api_versions.networking(connection)
    gateway = {
        "apiVersion": f"{group}/{version}",
        "kind": "Gateway",
        "metadata": {"name": "meshcourse-trial"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": settings.HTTP_PORT, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    }
    create = partial(connection.custom().create_namespaced_custom_object, dry_run="All")
    made = resources.read(create, group, version, namespace, "gateways", gateway)
    if made["spec"]["servers"][0]["port"]["number"] != connection.gateway_port:
        raise errors.MeshError(
            "Nothing keeps learners apart in this cluster.",
            why=f"a Gateway in {namespace} would open port {settings.HTTP_PORT} for everybody, not {connection.gateway_port} for you",
            next=f"kubectl apply -f {policies}    # for an administrator, once; Kubernetes 1.36 or newer",
        )
    alike = f"{settings.PORT_LABEL}={connection.gateway_port},{settings.LEARNER_LABEL}!={connection.learner}"
    others = resources.read(partial(connection.core().list_namespace, label_selector=alike)).items
    if others:
        name = connection.environment["MESHCOURSE_CLUSTER"]
        raise errors.MeshError(
            f"Port {connection.gateway_port} is another learner's too.",
            why=f"namespace {others[0].metadata.name} has it: you both started at the same moment",
            next=f"meshcourse down --name {name}    # then `up` again: it takes another port",
        )
