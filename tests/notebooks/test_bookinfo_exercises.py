"""Answers to chapter 4's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks import chapters, judging
from meshcourse.checks.outcome import Outcome, Verdict
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.lab import answers
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "04_bookinfo"


@pytest.fixture(scope="module")
def shop(cluster: Any) -> Iterator[LiveWitness]:
    """The chapter's bookstore with all that its exercises bring in, in a namespace of its own."""
    namespace = f"bookinfo-exercises-{uuid.uuid4().hex[:6]}"
    namespaces.enable(cluster.connection, namespace, by="tests")
    for manifest in sorted(MANIFESTS.glob("*.yaml")):
        if manifest.stem not in {"04-reviews-v1", "05-reviews-jason-v2", "07-ratings-v2"}:
            resources.apply(cluster.connection, manifest, namespace=namespace)
    workloads = ["productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3", "newsletter", "search"]
    resources.wait_for_rollout(cluster.connection, namespace, workloads)
    assert not propagation.wait(cluster.connection, namespace).missing
    yield LiveWitness(cluster.connection, namespace)
    namespaces.undo(cluster.connection, namespace, by="tests")


@pytest.fixture
def witness(shop: LiveWitness) -> Iterator[LiveWitness]:
    """No exercise attempted yet."""
    yield shop
    answers.answer("4.1")
    for name in ("reviews", "ratings"):
        call = shop.connection.custom().delete_namespaced_custom_object
        resources.read(call, "networking.istio.io", "v1", shop.namespace, "virtualservices", name)


@pytest.mark.parametrize("number", ["4.1", "4.2", "4.3"])
def test_nothing_done_is_not_attempted(witness: LiveWitness, number: str) -> None:
    assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED


# -- 4.1 -----------------------------------------------------------------------------------------------------------------------------------


def seen_calling(witness: LiveWitness, given: str) -> Outcome:
    """One page, so that reviews has called ratings too, and the answer."""
    witness.send(20, path="/productpage")
    answers.answer("4.1", given)
    return judged(witness, "4.1")


@pytest.mark.parametrize("given", ["search", "deployment/search", "Search ", '"search"', "search-v1"])
def test_the_caller_is_found_however_it_is_spelled(witness: LiveWitness, given: str) -> None:
    found = seen_calling(witness, given)
    assert found.passed, found
    assert "search" in found.seen


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("newsletter", "it must end at ratings"),
        ("productpage", "without a stop in between"),
        ("reviews-v2", "a second arrow to ratings"),
        ("ratings", "who stands at its beginning"),
        ("2", "the answer is one of these names"),
    ],
)
def test_mistake_in_4_1_gets_its_hint(witness: LiveWitness, given: str, hint: str) -> None:
    mistaken(seen_calling(witness, given), hint)


# -- 4.2 -----------------------------------------------------------------------------------------------------------------------------------


def reviews(*rules: str, host: str = "reviews", gateways: str = "") -> str:
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: reviews\nspec:\n"
    return head + f"  hosts: [{host}]\n{gateways}  http:" + "".join(rules) + "\n"


JASON = """
  - match:
    - headers:
        end-user: {exact: jason}
    route:
    - destination: {host: reviews, subset: v3}"""
HALF = """
  - route:
    - destination: {host: reviews, subset: v1}
      weight: 50
    - destination: {host: reviews, subset: v2}
      weight: 50"""


def test_right_answer_to_4_2_passes_and_says_how_sure_that_is(witness: LiveWitness) -> None:
    found = judged(witness, "4.2", reviews(JASON, HALF))
    assert found.passed, found
    assert "240 requests" in found.bound


WRONG_REVIEWS = [
    ("order", reviews(HALF, JASON), "the rule with `match` comes first"),
    ("header", reviews(JASON.replace("end-user", "x-user"), HALF), "header `end-user`"),
    ("colour", reviews(JASON.replace("v3", "v2"), HALF), "subset: v3"),
    ("weights", reviews(JASON, HALF.replace("50", "90", 1).replace("50", "10")), "`weight: 50` each"),
    ("one version", reviews(JASON, HALF.partition("\n      weight")[0]), "needs two destinations"),
    ("v3 for all", reviews(JASON, HALF.replace("subset: v2", "subset: v3")), "v3 is for jason alone"),
    ("anybody", reviews(JASON.replace("exact: jason", "regex: '.+'"), HALF), "exact: jason"),
    ("gateway", reviews(JASON, HALF, gateways="  gateways: [bookinfo-gateway]\n"), "leave out `gateways`"),
    ("host", reviews(JASON, HALF, host="productpage"), "hosts: [reviews]"),
    ("subset", reviews(JASON, HALF.replace("subset: v1", "subset: one")), "spelled the same"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_REVIEWS], ids=[row[0] for row in WRONG_REVIEWS])
def test_mistake_in_4_2_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "4.2", manifest), hint)


# -- 4.3 -----------------------------------------------------------------------------------------------------------------------------------

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: ratings
spec:
  host: ratings
  subsets:
  - name: v1
    labels: {version: v1}
"""
V2 = """  - name: v2
    labels: {version: v2}
"""
SERVICE = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ratings
spec:
  hosts:
  - ratings
  http:"""
TESS = """
  - match:
    - headers:
        end-user: {exact: tess}
    route:
    - destination: {host: ratings, subset: v2}"""
REST = """
  - route:
    - destination: {host: ratings, subset: v1}
"""


def test_version_that_does_not_run_cannot_be_tested(witness: LiveWitness) -> None:
    mistaken(judged(witness, "4.3", RULE + V2 + SERVICE + TESS + REST), "07-ratings-v2.yaml")


@pytest.fixture
def deployed(witness: LiveWitness) -> LiveWitness:
    """ratings v2 runs; the fixture leaves it there for the tests below."""
    resources.apply(witness.connection, MANIFESTS / "07-ratings-v2.yaml", namespace=witness.namespace)
    resources.wait_for_rollout(witness.connection, witness.namespace, ["ratings-v2"])
    return witness


def test_right_answer_to_4_3_passes(deployed: LiveWitness) -> None:
    found = judged(deployed, "4.3", RULE + V2 + SERVICE + TESS + REST)
    assert found.passed, found


WRONG_RATINGS = [
    ("no subset", RULE + SERVICE + TESS + REST, "needs the subset v2"),
    ("order", RULE + V2 + SERVICE + REST.rstrip() + TESS, "tess gets v1 like everybody"),
    ("everybody", RULE + V2 + SERVICE + TESS + REST.replace(", subset: v1", ""), "others than tess still meet v2"),
    ("anybody", RULE + V2 + SERVICE + TESS.replace("exact: tess", "regex: '.+'") + REST, "exact: tess"),
    ("any pod", RULE + V2 + SERVICE + TESS.replace(", subset: v2", "") + REST, "without a subset"),
    ("no v1", RULE.replace("v1}", "v9}").replace("name: v1", "name: v9") + V2 + SERVICE + TESS + REST, "still have v1"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_RATINGS], ids=[row[0] for row in WRONG_RATINGS])
def test_mistake_in_4_3_gets_its_hint(deployed: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(deployed, "4.3", manifest), hint)


def test_gateway_that_does_not_answer_is_the_clusters_trouble(witness: LiveWitness) -> None:
    resources.apply(witness.connection, reviews(JASON, HALF), namespace=witness.namespace)
    deaf = LiveWitness(Connection(witness.connection.kubeconfig, "http://127.0.0.1:1", witness.connection.environment), witness.namespace)
    found = judging.judge(chapters.EXERCISES["4.2"], deaf)
    assert found.verdict is Verdict.CANNOT_TELL
    assert "refused" in found.seen
