"""The retry panel on the real mesh: its sliders change the faults and retries, and the counts agree with the formula."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.core.errors import KubernetesError, PanelError
from meshcourse.kube import resources
from meshcourse.mesh import propagation
from meshcourse.mesh.rules.retry_chain import Retrying
from meshcourse.widgets.panels.retries import RetryPanel

pytestmark = pytest.mark.cluster

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "08_faults_retries"


@pytest.fixture(scope="module")
def chain(cluster: Any) -> Iterator[str]:
    """The chapter's chain of three, in a namespace of its own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    for file in ("02-door.yaml", "09-chain.yaml", "10-retries-everywhere.yaml"):
        resources.apply(cluster.connection, MANIFESTS / file, namespace=name)
    resources.wait_for_rollout(cluster.connection, name, ["front", "middle", "back"])
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def panel(cluster: Any, chain: str) -> Iterator[RetryPanel]:
    resources.apply(cluster.connection, MANIFESTS / "10-retries-everywhere.yaml", namespace=chain)
    # `nginx` of 02-door.yaml has no Service in this namespace; all that this test needs is there.
    until(lambda: not [each for each in propagation.wait(cluster.connection, chain, timeout=1.0).missing if "nginx" not in each])
    with RetryPanel(cluster.connection, namespace=chain) as made:
        yield made


def test_it_begins_with_what_the_mesh_holds(panel: RetryPanel) -> None:
    assert panel.snapshot().settings == Retrying(0.0, 2, 2)
    assert (panel.fault.value, panel.attempts.value, panel.who.value) == (0, 2, "every hop")
    assert not panel.running


def test_success_and_load_are_what_the_formula_says(panel: RetryPanel) -> None:
    panel.start(rate=40)
    panel.set_retries(fault=50, attempts=1)
    found = panel.wait_predicted(within=30)
    assert 0.75 in found.success
    panel.start(rate=12)  # each is nine at the last hop
    panel.set_retries(fault=100, attempts=2, everywhere=True)
    found = panel.wait_predicted(within=30)
    assert found.success.share == 0.0
    assert found.hops is not None
    until(lambda: panel.snapshot().hops == pytest.approx((3.0, 9.0), rel=0.25))
    until(lambda: "0.0 % predicted" in panel.alt.value)
    panel.stop()
    assert not panel.running


def test_sliders_write_and_kubectl_moves_the_sliders(cluster: Any, chain: str, panel: RetryPanel) -> None:
    panel.fault.value = 30
    panel.attempts.value = 4
    panel.who.value = "gateway only"
    until(lambda: panel.snapshot().settings == Retrying(30.0, 4, 0))
    front = cluster.get("-n", chain, "virtualservice", "front")["spec"]["http"][0]
    assert front["retries"] == {"attempts": 4, "retryOn": "5xx"}
    patch = '[{"op":"replace","path":"/spec/http/0/fault/abort/percentage/value","value":70}]'
    cluster.kubectl("-n", chain, "patch", "virtualservice", "back", "--type=json", "-p", patch)
    until(lambda: panel.fault.value == 70)


def test_a_slider_moves_only_when_the_learner_or_the_rule_moves_it(cluster: Any, chain: str, panel: RetryPanel) -> None:
    panel.attempts.value = 0
    until(lambda: panel.snapshot().settings == Retrying(0.0, 0, 0))
    assert panel.who.value == "every hop"
    panel.attempts.value = 1
    until(lambda: panel.snapshot().settings == Retrying(0.0, 1, 1))
    assert panel.who.value == "every hop"
    patch = '[{"op":"add","path":"/spec/http/0/retries","value":{"attempts":1,"retryOn":"gateway-error","perTryTimeout":"3s"}}]'
    cluster.kubectl("-n", chain, "patch", "virtualservice", "front", "--type=json", "-p", patch)
    panel.attempts.value = 3
    until(lambda: panel.snapshot().settings == Retrying(0.0, 3, 3))
    front = cluster.get("-n", chain, "virtualservice", "front")["spec"]["http"][0]
    assert front["retries"] == {"attempts": 3, "retryOn": "gateway-error", "perTryTimeout": "3s"}


def test_there_is_no_prediction_for_rules_that_the_formula_is_not_for(cluster: Any, chain: str, panel: RetryPanel) -> None:
    short = '[{"op":"add","path":"/spec/http/0/retries","value":{"attempts":2,"retryOn":"5xx","perTryTimeout":"100ms"}}]'
    slow = '[{"op":"add","path":"/spec/http/0/fault","value":{"delay":{"fixedDelay":"2s","percentage":{"value":100}}}}]'
    for name, patch in (("front", short), ("back", slow)):
        cluster.kubectl("-n", chain, "patch", "virtualservice", name, "--type=json", "-p", patch)
    until(lambda: "predicted: nothing, since perTryTimeout 100ms is not longer than" in panel.formula.value)
    with pytest.raises(PanelError, match="no prediction"):
        panel.wait_predicted()


def test_waiting_without_load_says_so(panel: RetryPanel) -> None:
    with pytest.raises(PanelError, match="did not reach 100") as caught:
        panel.wait_predicted(within=0.2)
    assert "panel.start" in caught.value.next


def test_a_chain_that_is_not_there_is_named(cluster: Any, injected: str) -> None:
    with pytest.raises(KubernetesError, match="no VirtualService front") as caught:
        RetryPanel(cluster.connection, namespace=injected).open()
    assert "10-retries-everywhere.yaml" in caught.value.next
