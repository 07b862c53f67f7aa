"""Answers to chapter 1's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken
from waiting import until

from meshcourse.checks.outcome import Verdict
from meshcourse.kube import resources
from meshcourse.lab import answers
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "01_components"
KEY = "01-components"
GATEWAY = (MANIFESTS / "04-gateway.yaml").read_text(encoding="utf-8").replace("front", "hello")
ROUTE = (MANIFESTS / "05-route.yaml").read_text(encoding="utf-8").replace("front", "hello")
EGRESS = (MANIFESTS / "08-egress.yaml").read_text(encoding="utf-8").partition("---\n")[2]
BILLING = EGRESS.replace("  name: partner", "  name: billing").replace("api.partner.example", "billing.partner.example")
SECRETARY = """
        host: istio-egressgateway.istio-system.svc.cluster.local
        port: {number: 80}"""


@pytest.fixture(scope="module")
def team(cluster: Any) -> Iterator[LiveWitness]:
    """client, web and the partner outside, with ServiceEntry and egress Gateway, in a namespace of their own."""
    namespace = "components-exercises"
    namespaces.enable(cluster.connection, namespace, by="tests")
    resources.apply(cluster.connection, MANIFESTS / "06-outside.yaml")
    for name in ("01-team", "07-serviceentry", "08-egress"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=namespace)
    resources.wait_for_rollout(cluster.connection, namespace, ["client", "web"])
    resources.wait_for_rollout(cluster.connection, "components-outside", ["partner"])
    assert not propagation.wait(cluster.connection, namespace).missing
    yield LiveWitness(cluster.connection, namespace)
    namespaces.undo(cluster.connection, "components-outside", by=KEY)
    namespaces.undo(cluster.connection, namespace, by="tests")


@pytest.fixture
def no_hello(team: LiveWitness) -> Iterator[LiveWitness]:
    yield team
    for manifest in (ROUTE, GATEWAY):
        resources.delete(team.connection, manifest, namespace=team.namespace)


WRONG_DOORS = [
    ("no door", (ROUTE,), "a Gateway opens"),
    ("no rule", (GATEWAY,), "a VirtualService says"),
    ("other selector", (GATEWAY.replace("istio: ingressgateway", "istio: ingress"), ROUTE), "istio: ingressgateway"),
    ("other host at the door", (GATEWAY.replace("hello.example.com", "helo.example.com"), ROUTE), "must name hello.example.com"),
    ("other port", (GATEWAY.replace("number: 80", "number: 8080"), ROUTE), "port 80"),
    ("not bound", (GATEWAY, ROUTE.replace("  gateways:\n  - hello\n", "")), "gateways: [hello]"),
    ("other host in the rule", (GATEWAY, ROUTE.replace("  - hello.example.com", "  - web.example.com")), "hello.example.com"),
    ("no such service", (GATEWAY, ROUTE.replace("host: web", "host: webb")), "503"),
]


def test_nothing_done_is_not_attempted(team: LiveWitness) -> None:
    for number in ("1.1", "1.2", "1.3"):
        assert judged(team, number).verdict is Verdict.NOT_ATTEMPTED


@pytest.mark.parametrize(("manifests", "hint"), [row[1:] for row in WRONG_DOORS], ids=[row[0] for row in WRONG_DOORS])
def test_mistake_at_the_door_gets_its_hint(no_hello: LiveWitness, manifests: tuple[str, ...], hint: str) -> None:
    mistaken(judged(no_hello, "1.1", *manifests), hint)


def test_door_and_rule_pass(no_hello: LiveWitness) -> None:
    assert judged(no_hello, "1.1", GATEWAY, ROUTE).passed


def test_envoys_are_counted_with_their_gateways_and_without_istiod(cluster: Any, team: LiveWitness) -> None:
    until(lambda: "Terminating" not in cluster.kubectl("get", "namespaces"), 120)  # of the tests before: their Envoys count until they go
    lines = cluster.run("istioctl", "proxy-status").stdout.splitlines()
    right = len(lines) - 1
    for wrong, hint in (
        (right - 2, "gateways are Envoys too"),
        (right + 1, "istiod is none"),
        (right + 5, "each line"),
        ("many", "for example"),
    ):
        answers.answer("1.2", wrong)
        mistaken(judged(team, "1.2"), hint)
    answers.answer("1.2", right)
    found = judged(team, "1.2")
    answers.answer("1.2")
    assert found.passed, found


WRONG_WAYS = [
    ("past the secretary", BILLING.replace(SECRETARY, " {host: billing.partner.example}"), "gateways: [mesh]"),
    ("only the mesh", BILLING.replace("  - way-out\n  http", "  http"), "gateways: [mesh, way-out]"),
    ("only the way out", BILLING.replace("  - mesh\n  - way-out\n", "  - way-out\n"), "gateways: [mesh, way-out]"),
    ("in a circle", BILLING.replace("{host: billing.partner.example}", "{host: nobody.partner.example}"), "must send to billing"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_WAYS], ids=[row[0] for row in WRONG_WAYS])
def test_mistake_on_the_way_out_gets_its_hint(team: LiveWitness, manifest: str, hint: str) -> None:
    found = judged(team, "1.3", manifest)
    resources.delete(team.connection, BILLING, namespace=team.namespace)
    mistaken(found, hint)


def test_calls_through_the_secretary_pass(team: LiveWitness) -> None:
    found = judged(team, "1.3", BILLING)
    resources.delete(team.connection, BILLING, namespace=team.namespace)
    assert found.passed, found
