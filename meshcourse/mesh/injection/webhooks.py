"""Whether a pod gets a sidecar: the selectors of the cluster's injection webhooks, applied to the labels of a namespace and a pod."""

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
    "namespace.": "the namespace's label asks for it, and the pod has no label against it",
    "rev.namespace.": "the namespace's label asks for it by revision, and the pod has no label against it",
    "object.": "the namespace has no such label, and the pod's own label asks for it",
    "rev.object.": "the namespace has no such label, and the pod's own label asks for it by revision",
}


@dataclass(frozen=True)
class Requirement:
    """One condition of a label selector; `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` match. An absent label is not in any list, so NotIn matches it."""
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
    """Whether a sidecar is injected, the webhook that injects it (empty: none), and the reason as text."""

    injected: bool
    webhook: str
    why: str


def decide(webhooks: Iterable[Webhook], namespace: Mapping[str, str], pod: Mapping[str, str]) -> Decision:
    """The decision for a pod with the labels `pod` in a namespace with the labels `namespace`."""
    for each in webhooks:
        if all(one.holds(namespace) for one in each.namespace) and all(one.holds(pod) for one in each.pod):
            kind = each.name.partition("sidecar-injector")[0]
            return Decision(injected=True, webhook=each.name, why=_WHY.get(kind, f"the webhook {each.name} selects it"))
    return Decision(injected=False, webhook="", why=_refusal(namespace, pod))


def _refusal(namespace: Mapping[str, str], pod: Mapping[str, str]) -> str:
    if pod.get(INJECT) == "false":
        return "the pod's label says no, and that overrides everything else"
    if namespace.get(INJECTION) == "disabled":
        return "the namespace's label says no, and that holds for all its pods"
    if pod.get(INJECT) == "true":
        return "the pod's label asks for it, but no webhook selects this namespace's labels"
    return "no label asks for it"


def read(connection: Connection) -> tuple[Webhook, ...]:
    """The cluster's webhooks that send pods to istiod. Raises KubernetesError when they cannot be read."""
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
