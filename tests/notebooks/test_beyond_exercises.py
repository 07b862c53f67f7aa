"""Answers to chapter 9's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks.callers import Call, answers
from meshcourse.checks.outcome import Verdict
from meshcourse.kube import resources
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh.injection import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "09_beyond"
SPACE = "beyond-exercises"
MINE = "peerauthentication/billing authorizationpolicy/billing serviceentry/files virtualservice/files gateway/desk virtualservice/desk"
SHOP = f"cluster.local/ns/{SPACE}/sa/shop"


def thing(kind: str, name: str, spec: str, group: str = "networking") -> str:
    return f"apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n{spec}\n---\n"


@pytest.fixture(scope="module")
def beyond(cluster: Any) -> Iterator[LiveWitness]:
    """The chapter's services and callers, strict and shut in, in a namespace of its own; the outside is the chapter's."""
    namespaces.enable(cluster.connection, SPACE, by="tests")
    for name in ("01-shop", "02-outside", "03-strict", "06-mirror", "07-v2", "08-registry-only"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace="" if name == "02-outside" else SPACE)
    resources.wait_for_rollout(cluster.connection, SPACE, ["orders-v1", "orders-v2", "billing", "shop", "intern"])
    resources.wait_for_rollout(cluster.connection, "beyond-outside", ["stranger", "partner"])
    yield LiveWitness(cluster.connection, SPACE)
    namespaces.undo(cluster.connection, SPACE, by="tests")
    namespaces.undo(cluster.connection, "beyond-outside", by="09-beyond")


@pytest.fixture
def witness(beyond: LiveWitness) -> Iterator[LiveWitness]:
    """No exercise attempted yet."""
    yield beyond
    beyond.run("kubectl", "delete", "--ignore-not-found", *MINE.split())
    for name in ("03-strict", "08-registry-only"):
        resources.apply(beyond.connection, MANIFESTS / f"{name}.yaml", namespace=SPACE)
    open_again = {
        Call("intern", f"http://orders.{SPACE}:8000/get"),
        *(Call(each, "http://billing:8000/get") for each in ("shop", "intern")),
    }
    ends = time.monotonic() + 60
    while set(map(tuple, answers(beyond, open_again).values())) != {
        (200,)
    }:  # what a policy forbids is forbidden until its end has reached the proxies
        assert time.monotonic() < ends
        time.sleep(0.3)


@pytest.mark.parametrize("number", ["9.1", "9.2", "9.3", "9.4"])
def test_nothing_done_is_not_attempted(witness: LiveWitness, number: str) -> None:
    assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED


# -- 9.1 and 9.2 -------------------------------------------------------------------------------------------------------------------------


def peers(mode: str, selector: str = "{matchLabels: {app: billing}}", name: str = "billing") -> str:
    only = f"  selector: {selector}\n" if selector else ""
    return thing("PeerAuthentication", name, f"{only}  mtls: {{mode: {mode}}}", "security")


BOTH = f"""  - from: [{{source: {{principals: [{SHOP}]}}}}]
    to: [{{operation: {{methods: [GET], paths: [/get]}}}}]"""


def policy(rules: str = BOTH, *, selector: str = "  selector: {matchLabels: {app: billing}}\n", action: str = "ALLOW") -> str:
    return thing("AuthorizationPolicy", "billing", f"{selector}  action: {action}\n  rules:\n{rules}", "security")


def test_right_answers_to_9_1_and_9_2_pass_one_after_the_other(witness: LiveWitness) -> None:
    first = judged(witness, "9.1", peers("PERMISSIVE"))
    assert first.passed, first
    second = judged(witness, "9.2", policy())
    assert second.passed, second


WRONG_PEERS = [
    ("everything", peers("PERMISSIVE", ""), "no `selector`"),
    ("default too", peers("PERMISSIVE") + peers("PERMISSIVE", "", "default"), "03-strict.yaml again"),
    ("labels", peers("PERMISSIVE", "{matchLabels: {app: bills}}"), "names labels of pods"),
    ("strict", peers("STRICT"), "mode: PERMISSIVE"),
    ("disabled", peers("DISABLE"), "`PERMISSIVE` takes both"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_PEERS], ids=[row[0] for row in WRONG_PEERS])
def test_mistake_in_9_1_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "9.1", manifest), hint)


WRONG_POLICIES = [
    ("everything", policy(selector=""), "no `selector`"),
    ("spiffe", policy(BOTH.replace(SHOP, f"spiffe://{SHOP}")), "without `spiffe://`"),
    ("deny", policy(action="DENY"), "action: ALLOW"),
    ("or", policy(BOTH.replace("    to:", "  - to:")), "two entries of `rules` mean `or`"),
    ("anybody", policy("  - to: [{operation: {methods: [GET], paths: [/get]}}]"), "anybody may do it"),
    ("any method", policy(BOTH.replace("methods: [GET], paths: [/get]", "paths: [/get, /post]")), "methods: [GET]"),
    ("any path", policy(BOTH.replace(", paths: [/get]", "")), "one path only"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_POLICIES], ids=[row[0] for row in WRONG_POLICIES])
def test_mistake_in_9_2_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "9.2", manifest), hint)


# -- 9.3 ---------------------------------------------------------------------------------------------------------------------------------

PUBLIC = """  - match: [{uri: {prefix: /public/}}]
    route: [{destination: {host: files.example}}]
"""


def entry(host: str = "files.example") -> str:
    text = (MANIFESTS / "09-serviceentry.yaml").read_text()
    return text.replace("name: partner\n", "name: files\n").replace("www.partner.example", host) + "---\n"


def corridor(rules: str) -> str:
    return thing("VirtualService", "files", f"  hosts: [files.example]\n  http:\n{rules}")


def test_right_answer_to_9_3_passes(witness: LiveWitness) -> None:
    found = judged(witness, "9.3", entry() + corridor(PUBLIC + "  - directResponse: {status: 403}"))
    assert found.passed, found


WRONG_DOORS = [
    ("another host", entry("file.example"), "does not know the name"),
    ("no corridor", entry(), "add the VirtualService `files`"),
    ("no rest", entry() + corridor(PUBLIC), "Envoy says 404"),
    ("order", entry() + corridor("  - directResponse: {status: 403}\n" + PUBLIC), "comes first"),
    (
        "everything",
        entry()
        + corridor(PUBLIC + "  - directResponse: {status: 403}")
        + thing("Sidecar", "default", "  outboundTrafficPolicy: {mode: ALLOW_ANY}"),
        "everything is let out",
    ),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_DOORS], ids=[row[0] for row in WRONG_DOORS])
def test_mistake_in_9_3_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "9.3", manifest), hint)


# -- 9.4 ---------------------------------------------------------------------------------------------------------------------------------

MISTAKES = (MANIFESTS / "10-mistakes.yaml").read_text()
MENDED = (
    MISTAKES.replace("ingress-gateway", "ingressgateway")
    .replace("desks.example.com", "desk.example.com")
    .replace("{host: order, port: {number: 8000}}", "{host: orders, subset: v1, port: {number: 8000}}")
    .replace("{host: orders, subset: v3}", "{host: orders, subset: v1, port: {number: 8000}}")
)


def test_right_answer_to_9_4_passes(witness: LiveWitness) -> None:
    found = judged(witness, "9.4", MENDED)
    assert found.passed, found


WRONG_DESKS = [
    ("selector", MENDED.replace("istio: ingressgateway", "istio: ingress-gateway"), "no pod carries these labels"),
    ("host", MENDED.replace("{host: orders, subset: v1, port: {number: 8000}}", "{host: order}", 1), "no Service of that name"),
    ("subset", MENDED.replace("subset: v1", "subset: v3", 1), "no such subset"),
    ("gateway's host", MENDED.replace("    - desk.example.com", "    - desks.example.com"), "must name the same host"),
    ("half of it", MENDED.partition("---\n")[0], "apply the mended file whole"),
    ("v2", MENDED.replace("subset: v1", "subset: v2"), "the version that works"),
]


@pytest.mark.parametrize(("manifest", "hint"), [row[1:] for row in WRONG_DESKS], ids=[row[0] for row in WRONG_DESKS])
def test_mistake_in_9_4_gets_its_hint(witness: LiveWitness, manifest: str, hint: str) -> None:
    mistaken(judged(witness, "9.4", manifest), hint)
