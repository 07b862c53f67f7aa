"""Check each right with the API server: whether a kubeconfig may do what the course does, before anything is changed.

The list is rbac.yaml: two roles that can be applied unchanged; docs/existing.md shows them, and a test compares the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from meshcourse.core.errors import ClusterError
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection

FILE: Final = Path(__file__).with_name("rbac.yaml")
PATIENCE: Final = 15.0
AT_ONCE: Final = 8
"""How many requests are sent at a time: a remote API server needs time for each."""


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, in one namespace or (empty) in every one. `*` is all of them."""

    group: str
    resource: str
    verb: str
    namespace: str = ""

    @property
    def where(self) -> str:
        """The resource as kubectl writes it, and the namespace if there is one."""
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{name} in namespace {self.namespace}" if self.namespace else name

    def review(self) -> dict[str, Any]:
        """The SelfSubjectAccessReview that asks for it."""
        resource, _, subresource = self.resource.partition("/")
        asked = {"group": self.group, "resource": resource, "subresource": subresource, "verb": self.verb, "namespace": self.namespace}
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}}


ADMINISTRATOR: Final = Right("*", "*", "*")
"""What installing Istio needs: it creates roles, webhooks and kinds for the whole cluster."""


def needed(path: Path = FILE) -> tuple[Right, ...]:
    """Every right in the roles of `path`, in the file's order."""
    roles = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return tuple(
        Right(*each, role["metadata"].get("namespace", ""))
        for role in roles
        for rule in role["rules"]
        for each in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    )


def missing(connection: Connection, asked: Iterable[Right]) -> tuple[Right, ...]:
    """Those of `asked` that the API server would refuse. Raises KubernetesError when it does not answer."""
    review = connection.authorization().create_self_subject_access_review

    def refused(right: Right) -> bool:
        answer = resources.ask(review, right.review(), refusal="The API server does not say what you may do.", _request_timeout=PATIENCE)
        return not answer.status.allowed

    asked = tuple(asked)
    with ThreadPoolExecutor(AT_ONCE) as several:
        return tuple(right for right, is_refused in zip(asked, several.map(refused, asked), strict=True) if is_refused)


def lacking(found: Iterable[Right], *, who: str) -> ClusterError:
    """The error that names what is missing: one line for each resource."""
    verbs: dict[str, list[str]] = {}
    for right in found:
        verbs.setdefault(right.where, []).append(right.verb)
    lines = [f"{', '.join(names)}: {resource}" for resource, names in verbs.items()]
    return ClusterError(
        f"{who} is not allowed to do everything that the course does.",
        why="\n  ".join(["these rights are missing:", *lines]),
        next=f"kubectl apply -f {FILE}    # an administrator does that, and binds both roles to you, as the file says",
    )
