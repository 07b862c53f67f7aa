"""Will a pod get a sidecar? What the cluster's injection webhooks say to the labels of a namespace and of a pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.kube import resources
from meshcourse.kube.connection import Connection

INJECTION: Final = "istio-injection"
REVISION: Final = "istio.io/rev"
INJECT: Final = "sidecar.istio.io/inject"
_WHY: Final = {
    "namespace.": "the namespace asks for it, and the pod does not object",
    "rev.namespace.": "the namespace asks for it by revision, and the pod does not object",
    "object.": "the namespace says nothing, and the pod asks for itself",
    "rev.object.": "the namespace says nothing, and the pod asks for itself by revision",
}


@dataclass(frozen=True)
class Requirement:
    """One condition of a label selector; `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` meet it. An absent label is not in any list, so NotIn holds for it."""
        value = labels.get(self.key)
        return {
            "In": value is not None and value in self.values,
            "NotIn": value is None or value not in self.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[self.operator]


@dataclass(frozen=True)
class Webhook:
    """One webhook: called for pods whose namespace and whose own labels meet every requirement."""

    name: str
    namespace: tuple[Requirement, ...]
    pod: tuple[Requirement, ...]


@dataclass(frozen=True)
class Decision:
    """Whether a sidecar comes, the webhook that brings it (empty: none), and why, in words."""

    injected: bool
    webhook: str
    why: str


def decide(webhooks: Iterable[Webhook], namespace: Mapping[str, str], pod: Mapping[str, str]) -> Decision:
    """What becomes of a pod with the labels `pod` in a namespace with the labels `namespace`."""
    for each in webhooks:
        if all(one.holds(namespace) for one in each.namespace) and all(one.holds(pod) for one in each.pod):
            kind = each.name.partition("sidecar-injector")[0]
            return Decision(injected=True, webhook=each.name, why=_WHY.get(kind, f"the webhook {each.name} takes it"))
    return Decision(injected=False, webhook="", why=_refusal(namespace, pod))


def _refusal(namespace: Mapping[str, str], pod: Mapping[str, str]) -> str:
    if pod.get(INJECT) == "false":
        return "the pod says no, and that wins over everything"
    if namespace.get(INJECTION) == "disabled":
        return "the namespace says no; no pod in it is even asked"
    if pod.get(INJECT) == "true":
        return "the pod asks for it, but no webhook listens to this namespace's labels"
    return "nobody asks for it"


def read(connection: Connection) -> tuple[Webhook, ...]:
    """The webhooks of the cluster that send pods to istiod. Raises KubernetesError when they cannot be read."""
    listed = resources.read(connection.admission().list_mutating_webhook_configuration)
    return tuple(
        Webhook(str(each.name), _requirements(each.namespace_selector), _requirements(each.object_selector))
        for configuration in (listed.items if listed else ())
        for each in configuration.webhooks or ()
        if "sidecar-injector" in each.name
    )


def _requirements(selector: Any) -> tuple[Requirement, ...]:  # noqa: ANN401 - the Kubernetes client is untyped
    if selector is None:
        return ()
    exact = (Requirement(key, "In", (value,)) for key, value in (selector.match_labels or {}).items())
    others = (Requirement(each.key, each.operator, tuple(each.values or ())) for each in selector.match_expressions or ())
    return (*exact, *others)
