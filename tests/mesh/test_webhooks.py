"""Which pods get a sidecar: label selectors as the API server evaluates them, and the webhooks of the running istiod."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from meshcourse.mesh.injection import dry_run, webhooks
from meshcourse.mesh.injection.webhooks import Requirement, Webhook
from meshcourse.widgets.panels.injection import NAMESPACES, PODS

ASKED = Webhook(
    "namespace.sidecar-injector.istio.io",
    (Requirement("istio-injection", "In", ("enabled",)),),
    (Requirement("sidecar.istio.io/inject", "NotIn", ("false",)),),
)


@pytest.mark.parametrize(
    ("operator", "absent", "other", "listed"),
    [("In", False, False, True), ("NotIn", True, True, False), ("Exists", False, True, True), ("DoesNotExist", True, False, False)],
)
def test_operator_means_what_it_means_to_the_api_server(operator: str, absent: bool, other: bool, listed: bool) -> None:  # noqa: FBT001
    requirement = Requirement("key", operator, ("yes",))
    assert [requirement.holds(labels) for labels in ({}, {"key": "no"}, {"key": "yes"})] == [absent, other, listed]


def test_decision_names_its_webhook_and_says_why() -> None:
    found = webhooks.decide([ASKED], {"istio-injection": "enabled"}, {})
    assert found.injected
    assert found.webhook == ASKED.name
    assert "the namespace's label asks for it" in found.why


@pytest.mark.parametrize(
    ("namespace", "pod", "why"),
    [
        ({"istio-injection": "enabled"}, {"sidecar.istio.io/inject": "false"}, "the pod's label says no"),
        ({"istio-injection": "disabled"}, {"sidecar.istio.io/inject": "true"}, "the namespace's label says no"),
        ({}, {"sidecar.istio.io/inject": "true"}, "no webhook selects"),
        ({}, {}, "no label asks"),
    ],
)
def test_refusal_says_who_refused(namespace: dict[str, str], pod: dict[str, str], why: str) -> None:
    found = webhooks.decide([ASKED], namespace, pod)
    assert not found.injected
    assert why in found.why


def test_native_sidecar_counts_as_running_and_init_container_does_not() -> None:
    containers = {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "istio-proxy", "restartPolicy": "Always"}]}
    found = dry_run.read("kubectl run", {"spec": containers})
    assert found.injected
    assert found.ready == "2/2"
    assert not dry_run.read("kubectl run", {"spec": {"containers": [{"name": "a"}]}}).injected


@pytest.mark.cluster
def test_every_combination_comes_out_as_istiods_webhooks_predict(cluster: Any) -> None:
    known = webhooks.read(cluster.connection)
    names = {label: f"t-webhooks-{number}" for number, label in enumerate(NAMESPACES)}
    try:
        for label, name in names.items():
            dry_run.prepare(cluster.connection, name, NAMESPACES[label], by="tests")
        made = {
            (namespace, pod): (
                dry_run.attempt(cluster.connection, names[namespace], PODS[pod]).injected,
                webhooks.decide(known, NAMESPACES[namespace], PODS[pod]).injected,
            )
            for namespace, pod in itertools.product(NAMESPACES, PODS)
        }
    finally:
        cluster.kubectl("delete", "namespace", *names.values(), "--wait=false", "--ignore-not-found")
    assert {place: proved for place, (proved, _) in made.items()} == {place: predicted for place, (_, predicted) in made.items()}
    assert sum(proved for proved, _ in made.values()) == 5


@pytest.mark.cluster
def test_somebody_elses_namespace_is_not_used_for_trials(cluster: Any, injected: str) -> None:
    with pytest.raises(Exception, match="other labels"):
        dry_run.prepare(cluster.connection, injected, {}, by="tests")
