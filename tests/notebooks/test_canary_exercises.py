"""Answers to chapter 5's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks import chapters, judging
from meshcourse.checks.outcome import Verdict
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "05_canary"
TEAM = """
  - match:
    - headers:
        x-team: {exact: internal}
    route:
    - destination: {host: web, subset: v2}"""
SPLIT = """
  - route:
    - destination: {host: web, subset: v1}
      weight: 80
    - destination: {host: web, subset: v2}
      weight: 20"""
OUT = """
  - match:
    - headers:
        x-version: {exact: v1}
    route:
    - destination: {host: web, subset: v1}"""
BETA = """
  - match:
    - headers:
        cookie: {regex: '(.*;\\s*)?beta=yes(;.*)?'}
    route:
    - destination: {host: web, subset: v2}"""
REST = """
  - route:
    - destination: {host: web, subset: v1}"""
RIGHT = BETA.partition("regex: ")[2].partition("}")[0]


def service(name: str, *rules: str, host: str = "", gateway: str = "web") -> str:
    head = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: {name}\nspec:\n"
    return head + f"  hosts: [{host or name + '.example.com'}]\n  gateways: [{gateway}]\n  http:" + "".join(rules) + "\n"


@pytest.fixture(scope="module")
def canary(cluster: Any) -> Iterator[Any]:
    """The chapter's two versions, in a namespace of their own."""
    namespace = "canary-exercises"
    namespaces.enable(cluster.connection, namespace, by="tests")
    for name in ("01-web", "02-service", "03-gateway", "05-destinationrule"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=namespace)
    resources.wait_for_rollout(cluster.connection, namespace, ["web-v1", "web-v2"])
    yield LiveWitness(cluster.connection, namespace)
    namespaces.undo(cluster.connection, namespace, by="tests")


@pytest.fixture
def witness(canary: LiveWitness) -> Iterator[LiveWitness]:
    """No exercise attempted yet."""
    yield canary
    for name in ("shop", "club"):
        call = canary.connection.custom().delete_namespaced_custom_object
        resources.read(call, "networking.istio.io", "v1", canary.namespace, "virtualservices", name)


@pytest.mark.parametrize("number", ["5.1", "5.2"])
def test_nothing_done_is_not_attempted(witness: LiveWitness, number: str) -> None:
    assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED


def test_right_answers_pass_and_say_how_sure_that_is(witness: LiveWitness) -> None:
    first = judged(witness, "5.1", service("shop", TEAM, SPLIT))
    assert first.passed, first
    assert "1000 requests" in first.bound
    assert judged(witness, "5.2", service("club", OUT, BETA, REST)).passed


WRONG_TEAM = [
    ("order", service("shop", SPLIT, TEAM), "top to bottom"),
    ("swapped", service("shop", TEAM, SPLIT.replace("80", "x").replace("20", "80").replace("x", "20")), "wrong way round"),
    ("half", service("shop", TEAM, SPLIT.replace("80", "50").replace("20", "50")), "80 for v1 and 20 for v2"),
    ("nobody", service("shop", TEAM, REST), "weight: 80"),
    ("everybody", service("shop", REST.replace("v1", "v2")), "everybody gets v2"),
    ("to v1", service("shop", TEAM.replace("v2", "v1"), SPLIT), "subset: v2"),
    ("any value", service("shop", TEAM.replace("exact: internal", "regex: '.*'"), SPLIT), "exact: internal"),
    ("subset", service("shop", TEAM, SPLIT.replace("subset: v2", "subset: v3")), "503"),
    ("no rest", service("shop", TEAM), "404"),
    ("host", service("shop", TEAM, SPLIT, host="web.example.com"), "users ask for"),
    ("gateway", service("shop", TEAM, SPLIT, gateway="mesh"), "gateways: [web]"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_TEAM], ids=[row[0] for row in WRONG_TEAM])
def test_mistake_in_5_1_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "5.1", manifest), hint)


WRONG_CLUB = [
    ("exact", service("club", OUT, BETA.replace(f"regex: {RIGHT}", "exact: beta=yes"), REST), "exact"),
    ("too wide before", service("club", OUT, BETA.replace(RIGHT, "'.*beta=yes(;.*)?'"), REST), "before `beta`"),
    ("too wide after", service("club", OUT, BETA.replace(RIGHT, "'(.*;\\s*)?beta=yes.*'"), REST), "after `yes`"),
    ("order", service("club", BETA, OUT, REST), "must come before"),
    ("no cookie", service("club", OUT, REST), "cookie"),
    ("rest", service("club", OUT, BETA, REST.replace("v1", "v2")), "everybody else"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_CLUB], ids=[row[0] for row in WRONG_CLUB])
def test_mistake_in_5_2_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "5.2", manifest), hint)


def test_gateway_that_does_not_answer_is_the_clusters_trouble(witness: LiveWitness) -> None:
    resources.apply(witness.connection, service("shop", TEAM, SPLIT), namespace=witness.namespace)
    deaf = LiveWitness(Connection(witness.connection.kubeconfig, "http://127.0.0.1:1", witness.connection.environment), witness.namespace)
    found = judging.judge(chapters.EXERCISES["5.1"], deaf)
    assert found.verdict is Verdict.CANNOT_TELL
    assert "refused" in found.seen


def test_api_server_that_does_not_answer_is_the_clusters_trouble(tmp_path: Path) -> None:
    found = judging.judge(chapters.EXERCISES["5.1"], LiveWitness(Connection(tmp_path / "absent", "http://127.0.0.1:1"), "canary"))
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.hint


def test_arrival_names_what_the_gateway_does_not_hold(witness: LiveWitness) -> None:
    resources.apply(witness.connection, service("shop", SPLIT, gateway="absent"), namespace=witness.namespace)
    came = propagation.wait(witness.connection, witness.namespace, timeout=1.0)
    assert came.missing == ("VirtualService shop",)
    resources.apply(witness.connection, service("shop", SPLIT), namespace=witness.namespace)
    came = propagation.wait(witness.connection, witness.namespace)
    assert came.missing == ()
    assert came.virtual_services == ("shop",)
