"""Answers to chapter 8's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks.outcome import Verdict
from meshcourse.kube import resources
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "08_faults_retries"
TO_BACK = "\n    route:\n    - destination: {host: back, port: {number: 8000}}"
ABORT = "\n  - match: [{headers: {x-chaos: {exact: abort}}}]\n    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}" + TO_BACK
DELAY = "\n  - match: [{headers: {x-chaos: {exact: delay}}}]\n    fault: {delay: {fixedDelay: 500ms, percentage: {value: 100}}}" + TO_BACK
REST = "\n  - fault: {abort: {httpStatus: 500, percentage: {value: 10}}}" + TO_BACK


def service(name: str, *rules: str, gateway: str = "door") -> str:
    head = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: {name}\nspec:\n"
    return head + f"  hosts: [{name}.example.com]\n  gateways: [{gateway}]\n  http:" + "".join(rules) + "\n"


def patient(retries: str) -> str:
    return service("patient", f"\n  - retries: {retries}" + TO_BACK if retries else "\n  - name: all" + TO_BACK)


@pytest.fixture(scope="module")
def chain(cluster: Any) -> Iterator[LiveWitness]:
    """The chapter's chain, in a namespace of its own."""
    namespace = "retry-exercises"
    namespaces.enable(cluster.connection, namespace, by="tests")
    for name in ("02-door", "09-chain", "10-retries-everywhere"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=namespace)
    resources.read(
        cluster.connection.custom().delete_namespaced_custom_object, "networking.istio.io", "v1", namespace, "virtualservices", "nginx"
    )
    resources.wait_for_rollout(cluster.connection, namespace, ["front", "middle", "back"])
    yield LiveWitness(cluster.connection, namespace)
    namespaces.undo(cluster.connection, namespace, by="tests")


@pytest.fixture
def witness(chain: LiveWitness) -> Iterator[LiveWitness]:
    """No exercise attempted yet, and the storm as section 7 leaves it."""
    yield chain
    for name in ("chaos", "patient"):
        call = chain.connection.custom().delete_namespaced_custom_object
        resources.read(call, "networking.istio.io", "v1", chain.namespace, "virtualservices", name)
    resources.apply(chain.connection, MANIFESTS / "10-retries-everywhere.yaml", namespace=chain.namespace)


@pytest.mark.parametrize("number", ["8.1", "8.2", "8.3"])
def test_nothing_done_is_not_attempted(witness: LiveWitness, number: str) -> None:
    assert witness.arrival().missing == ()
    assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED


def test_right_answers_pass_and_say_how_sure_that_is(witness: LiveWitness) -> None:
    first = judged(witness, "8.1", service("chaos", ABORT, DELAY, REST))
    assert first.passed, first
    assert "300 requests" in first.bound
    for attempts in (3, 4):
        second = judged(witness, "8.2", patient(f"{{attempts: {attempts}, retryOn: 5xx}}"))
        assert second.passed, second
        assert f"{attempts + 1} tries" in second.seen
    third = judged(witness, "8.3", calm({"front", "middle"}))
    assert third.passed, third
    assert "becomes 3 at back" in third.seen


WRONG_CHAOS = [
    ("no percentage", service("chaos", ABORT.replace(", percentage: {value: 100}", ""), DELAY, REST), "without `percentage:`"),
    ("order", service("chaos", REST, ABORT, DELAY), "from top to bottom"),
    ("half", service("chaos", ABORT.replace("100", "50"), DELAY, REST), "aborts them all"),
    ("delay without percentage", service("chaos", ABORT, DELAY.replace(", percentage: {value: 100}", ""), REST), "taken as 0 %"),
    ("no delay", service("chaos", ABORT, REST), "x-chaos: delay above it"),
    ("everybody", service("chaos", ABORT, DELAY, REST.replace("10}", "50}")), "percentage: {value: 10}"),
    ("nobody", service("chaos", ABORT, DELAY, "\n  - name: rest" + TO_BACK), "a fault never happens"),
    ("gateway", service("chaos", ABORT, DELAY, REST, gateway="mesh"), "gateways: [door]"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_CHAOS], ids=[row[0] for row in WRONG_CHAOS])
def test_mistake_in_8_1_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "8.1", manifest), hint)


WRONG_PATIENT = [
    ("no condition", patient("{attempts: 3}"), "only on request"),
    ("no retries", patient(""), "nothing is retried"),
    ("too few", patient("{attempts: 2, retryOn: 5xx}"), "does not count the first try"),
    ("too many", patient("{attempts: 9, retryOn: 5xx}"), "five tries"),
    ("elsewhere", patient("{attempts: 3, retryOn: 5xx}").replace("number: 8000", "number: 8080"), "the route must lead"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_PATIENT], ids=[row[0] for row in WRONG_PATIENT])
def test_mistake_in_8_2_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "8.2", manifest), hint)


def calm(silent: set[str]) -> str:
    """The chain's three VirtualServices, without retries in those of `silent`."""
    documents = (MANIFESTS / "10-retries-everywhere.yaml").read_text().split("\n---\n")
    return "\n---\n".join(
        text.replace("{attempts: 2, retryOn: 5xx}", "{attempts: 0}") if any(f"name: {name}\nspec" in text for name in silent) else text
        for text in documents
    )


@pytest.mark.parametrize(
    ("silent", "hint"),
    [({"front"}, "more than one hop still retries"), ({"front", "middle", "back"}, "no hop retries any more")],
    ids=["two left", "none left"],
)
def test_mistake_in_8_3_gets_its_hint(witness: LiveWitness, silent: set[str], hint: str) -> None:
    mistaken(judged(witness, "8.3", calm(silent)), hint)
