"""Gateways of other chapters that serve every host, and so would receive this chapter's requests.

A chapter's first cell deletes them and notes that on the namespace that they belonged to. The chapter that lost one reports it in its own
first cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from meshcourse.core import settings
from meshcourse.course import chapters
from meshcourse.course.chapters import Chapter
from meshcourse.kube import api_versions, resources
from meshcourse.kube.connection import Connection
from meshcourse.lab.session import Session
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import namespaces

NOTE: Final = "meshcourse.dev/gateway-taken"
"""Annotation on a chapter's namespace: `name number`, which of its Gateways a chapter deleted, and which chapter did."""


def settle(begun: Session) -> Iterator[str]:
    """Delete Gateways that would receive this chapter's requests, and find those that other chapters deleted here; a line for each."""
    for rival in find(begun.connection, begun.namespace):
        yield _put_aside(begun, rival)
    yield from _missed(begun)


def find(connection: Connection, namespace: str) -> tuple[str, ...]:
    """Gateways of other namespaces that serve every host on the ingress gateway's port 80, or on the learner's own."""
    found = resources.read(connection.custom().list_cluster_custom_object, *api_versions.networking(connection), "gateways") or {
        "items": []
    }
    return tuple(
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in found["items"]
        if item["metadata"]["namespace"] != namespace and takes_all(item, connection.gateway_port)
    )


def takes_all(gateway: Mapping[str, Any], port: int = settings.HTTP_PORT) -> bool:
    """Whether a Gateway on the default ingress gateway serves host * on `port`."""
    spec = gateway.get("spec", {})
    if spec.get("selector") != {"istio": "ingressgateway"}:
        return False
    return any(server.get("port", {}).get("number") == port and "*" in server.get("hosts", ()) for server in spec.get("servers", ()))


def _put_aside(begun: Session, rival: str) -> str:
    """Delete the Gateway of another chapter; one that no chapter made is only reported."""
    connection, (namespace, _, name) = begun.connection, rival.partition("/")
    owner = next((each for each in chapters.CHAPTERS.values() if each.belonging_to(connection.learner).namespace == namespace), None)
    if owner is None or namespaces.brought(connection, namespace, by=owner.key) is not namespaces.Change.CREATED:
        port = connection.gateway_port
        return f"! Gateway {rival} serves every host on port {port} too, and may receive this chapter's requests: kubectl get gateways -A"
    _note(connection, namespace, f"{name} {begun.chapter.number}")
    call = connection.custom().delete_namespaced_custom_object
    resources.read(call, *api_versions.networking(connection), namespace, "gateways", name)
    return f"✔ deleted Gateway {rival}, left by chapter {owner.number}: it served every host. Applying its manifest restores it."


def _missed(begun: Session) -> Iterator[str]:
    """What another chapter's first cell deleted here, and how to restore it."""
    found = resources.read(begun.connection.core().read_namespace, begun.namespace)
    name, _, taker = str(((found.metadata.annotations or {}) if found else {}).get(NOTE, "")).partition(" ")
    if not name:
        return
    if any(item["metadata"]["name"] == name for item in propagation.listed(begun.connection, begun.namespace, "gateways")):
        _note(begun.connection, begun.namespace, None)
        return
    yield f"! chapter {taker} deleted this chapter's Gateway {name}: until it is restored, requests from outside get 404 or no answer."
    yield f"  To restore it: {way_back(begun.chapter, name)}"


def way_back(chapter: Chapter, name: str) -> str:
    """What to type to restore a Gateway of that chapter."""
    folder = chapters.folder() / "manifests" / chapter.stem
    for file in sorted(folder.glob("*.yaml")):
        documents = yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if any(each and each["kind"] == "Gateway" and each["metadata"]["name"] == name for each in documents):
            return f"kubectl apply -f manifests/{chapter.stem}/{file.name}"
    return "run the cell that made it again"


def _note(connection: Connection, namespace: str, text: str | None) -> None:
    resources.read(connection.core().patch_namespace, namespace, {"metadata": {"annotations": {NOTE: text}}})
