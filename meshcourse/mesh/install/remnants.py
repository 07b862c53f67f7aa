"""Everything of Istio in a cluster: its own objects, those that remain after it, and yours.

An object is Istio's if it is in istio-system, has Istio's name or label, or is of a kind that Istio defines. What Kubernetes puts into
every namespace is left out. `sort` is pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from meshcourse.core.json_types import JsonMapping
from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import installation

NAMESPACED: Final = (
    "deployments",
    "pods",
    "services",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
    "leases",
)
WIDE: Final = (
    "namespaces",
    "customresourcedefinitions",
    "clusterroles",
    "clusterrolebindings",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
)
YOURS: Final = tuple(
    f"{kind}.networking.istio.io"
    for kind in ("gateways", "virtualservices", "destinationrules", "serviceentries", "sidecars", "envoyfilters")
) + tuple(f"{kind}.security.istio.io" for kind in ("peerauthentications", "authorizationpolicies", "requestauthentications"))
"""Kinds whose objects people write. They exist only while Istio's CustomResourceDefinitions do."""
_KUBERNETES: Final = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
_GROUPS: Final = (".istio.io",)
_INJECTION: Final = ("istio-injection", "istio.io/rev")
_STATUS: Final = "sidecar.istio.io/status"


@dataclass(frozen=True, order=True)
class Thing:
    """One object. `namespace` is empty for a cluster-wide object."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Remnants:
    """All objects of Istio that exist."""

    namespace: bool
    """Whether istio-system exists."""
    system: tuple[Thing, ...]
    """In istio-system."""
    wide: tuple[Thing, ...]
    """Cluster-wide."""
    elsewhere: tuple[Thing, ...]
    """In other namespaces: config maps that istiod made, and pods with a sidecar."""
    labelled: tuple[str, ...]
    """Namespaces whose label asks for sidecars."""
    yours: tuple[Thing, ...]
    """Objects of Istio's kinds that people wrote."""

    def of(self, kind: str) -> tuple[Thing, ...]:
        """All objects of a kind, in any namespace."""
        return tuple(each for part in (self.system, self.wide, self.elsewhere, self.yours) for each in part if each.kind == kind)


def find(connection: Connection) -> Remnants:
    """Look through the cluster. Raises KubernetesError when it does not answer."""
    kinds = ",".join((*NAMESPACED, *WIDE))
    listed = [json.loads(_kubectl(connection, kinds, "-o", "json"))["items"]]
    known = {each["metadata"]["name"] for each in listed[0] if each["kind"] == "CustomResourceDefinition"}
    theirs = [kind for kind in YOURS if kind in known]
    if theirs:
        listed.append(json.loads(_kubectl(connection, ",".join(theirs), "-o", "json"))["items"])
    return sort(listed[0], listed[1] if theirs else ())


def _kubectl(connection: Connection, *words: str) -> str:
    done = commands.run(connection, ["kubectl", "get", *words, "-A"], timeout=60.0)
    if done.code:
        raise resources.refusal(done, "the list of the cluster's objects")
    return done.stdout


def sort(listed: Iterable[JsonMapping], yours: Iterable[JsonMapping]) -> Remnants:
    """Group objects as kubectl lists them, without those that are not Istio's."""
    system, wide, elsewhere, labelled = [], [], [], []
    namespace = False
    for each in listed:
        thing = _thing(each)
        if thing.kind == "Namespace":
            namespace |= thing.name == installation.NAMESPACE
            labels = each["metadata"].get("labels") or {}
            labelled += [f"{thing.name} ({key}={labels[key]})" for key in _INJECTION if key in labels]
        elif thing.namespace == installation.NAMESPACE:
            system += [] if (thing.kind, thing.name) in _KUBERNETES else [thing]
        elif thing.namespace:
            elsewhere += [thing] if _left_by_istio(each) else []
        elif thing.name.endswith(_GROUPS) or thing.name.startswith(("istio", "istiod")):
            wide.append(thing)
    made = tuple(sorted(_thing(each) for each in yours))
    return Remnants(namespace, tuple(sorted(system)), tuple(sorted(wide)), tuple(sorted(elsewhere)), tuple(sorted(labelled)), made)


def _thing(each: JsonMapping) -> Thing:
    return Thing(str(each["kind"]), str(each["metadata"].get("namespace", "")), str(each["metadata"]["name"]))


def _left_by_istio(each: JsonMapping) -> bool:
    """In a namespace of the user's: config maps of istiod, and pods that it changed."""
    if each["kind"] == "ConfigMap":
        return str(each["metadata"]["name"]).startswith("istio-ca-")
    return each["kind"] == "Pod" and _STATUS in (each["metadata"].get("annotations") or {})
