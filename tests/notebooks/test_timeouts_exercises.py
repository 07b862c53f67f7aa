"""Answers to chapter 7's exercises, right and wrong, judged on the real mesh: each mistake gets its own hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks import chapters, judging
from meshcourse.checks.chapters import ch07_timeouts as chapter
from meshcourse.checks.outcome import Verdict
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.mesh.injection import namespaces

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "07_timeouts"
NAMES = {"7.1": "orders", "7.2": "reviews", "7.3": "desk"}
GIVEN = ("03-virtualservice-timeout", "08-virtualservice-ratings")


def service(name: str, *rules: str, gateway: str = "", host: str = "") -> str:
    head = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec:\n"
    bound = f"  gateways: [{gateway}]\n" if gateway else ""
    return f"{head}  hosts: [{host or name}]\n{bound}  http:\n" + "".join(rules)


def rule(host: str, timeout: str = "", match: str = "") -> str:
    lines = [f"  - route: [{{destination: {{host: {host}}}}}]"]
    lines += [f"    timeout: {timeout}"] if timeout else []
    lines += [f"    match: [{{headers: {{{match}}}}}]"] if match else []
    return "\n".join(lines) + "\n"


BATCH = "x-client: {exact: batch}"
DESK = {"gateway": "front", "host": "help.example.com"}
GOOD = {
    "7.1": service("orders", rule("orders", "3s", BATCH), rule("orders", "1s")),
    "7.2": service("reviews", rule("reviews", "500ms")),
    "7.3": service("desk", rule("nginx", "3s"), **DESK),
}


@pytest.fixture(scope="module")
def chapter_pods(cluster: Any) -> Iterator[LiveWitness]:
    """The chapter's pods, nginx with the exercise's configuration, in a namespace of their own."""
    namespace = "timeouts-exercises"
    namespaces.enable(cluster.connection, namespace, by="tests")
    for name in ("01-nginx-tomcat", "02-services", "04-door", "07-bookinfo", "09-exercises", *GIVEN):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=namespace)
    resources.wait_for_rollout(cluster.connection, namespace, ["nginx", "tomcat", "client", "productpage-v1", "reviews-v2", "ratings-v1"])
    into = ["-n", namespace, "exec", "-i", "deploy/nginx", "-c", "nginx", "--"]
    cluster.kubectl(*into, "tee", "/etc/nginx/conf.d/default.conf", stdin=(MANIFESTS / "nginx-sorry.conf").read_text())
    cluster.kubectl(*into, "nginx", "-s", "reload")
    yield LiveWitness(cluster.connection, namespace)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def witness(chapter_pods: LiveWitness) -> Iterator[LiveWitness]:
    """No exercise attempted yet, and the given rules as given."""
    yield chapter_pods
    for name in NAMES.values():
        remove(chapter_pods, name)
    for name in GIVEN:
        resources.apply(chapter_pods.connection, MANIFESTS / f"{name}.yaml", namespace=chapter_pods.namespace)


def remove(witness: LiveWitness, name: str) -> None:
    call = witness.connection.custom().delete_namespaced_custom_object
    resources.read(call, "networking.istio.io", "v1", witness.namespace, "virtualservices", name)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES)
def test_nothing_done_is_not_attempted(witness: LiveWitness, number: str) -> None:
    assert judged(witness, number).verdict is Verdict.NOT_ATTEMPTED


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES)
def test_right_answers_pass_and_say_what_was_seen(witness: LiveWitness, number: str) -> None:
    found = judged(witness, number, GOOD[number])
    assert found.passed, found
    assert "after" in found.seen


WRONG = [
    ("7.1 order", "7.1", service("orders", rule("orders", "1s"), rule("orders", "3s", BATCH)), "top to bottom"),
    ("7.1 people for ever", "7.1", service("orders", rule("orders", "3s", BATCH), rule("orders")), "people wait too long"),
    ("7.1 jobs for ever", "7.1", service("orders", rule("orders", "", BATCH), rule("orders", "1s")), "jobs wait for ever"),
    ("7.1 nearly", "7.1", service("orders", rule("orders", "3500ms", BATCH), rule("orders", "1s")), "`timeout: 3s`"),
    ("7.1 through the gateway", "7.1", service("orders", rule("orders", "1s"), gateway="front"), "pass none"),
    ("7.1 another host", "7.1", service("orders", rule("orders", "1s"), host="orders.example.com"), "names the Service"),
    ("7.2 as long as asked", "7.2", service("reviews", rule("reviews", "1s")), "twice"),
    ("7.2 no timeout", "7.2", service("reviews", rule("reviews")), "with a `timeout`"),
    ("7.2 far too short", "7.2", service("reviews", rule("reviews", "2ms")), "so short"),
    ("7.3 outside in", "7.3", service("desk", rule("nginx", "500ms"), **DESK), "the gateway gave up first"),
    ("7.3 no end", "7.3", service("desk", rule("nginx"), **DESK), "no other timeout than yours"),
    ("7.3 too long", "7.3", service("desk", rule("nginx", "4500ms"), **DESK), "`timeout: 3s`"),
    ("7.3 past nginx", "7.3", service("desk", rule("tomcat", "3s"), **DESK), "nginx"),
    ("7.3 inside the mesh only", "7.3", service("desk", rule("nginx", "3s"), host="help.example.com"), "gateways: [front]"),
]


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize(("number", "manifest", "hint"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_mistake_gets_its_hint(witness: LiveWitness, number: str, manifest: str, hint: str) -> None:
    mistaken(judged(witness, number, manifest), hint)


@pytest.mark.cluster
@pytest.mark.slow
def test_taking_the_cause_away_is_no_answer(witness: LiveWitness) -> None:
    """7.2 without slow ratings, 7.3 without tomcat's timeout."""
    remove(witness, "ratings")
    assert "08-virtualservice-ratings" in judged(witness, "7.2", GOOD["7.2"]).hint
    remove(witness, "tomcat")
    assert "03-virtualservice-timeout" in judged(witness, "7.3", GOOD["7.3"]).hint


def test_api_server_that_does_not_answer_is_the_clusters_trouble(tmp_path: Path) -> None:
    deaf = LiveWitness(Connection(tmp_path / "absent", "http://127.0.0.1:1"), "timeouts")
    assert judging.judge(chapters.EXERCISES["7.1"], deaf).verdict is Verdict.CANNOT_TELL


def test_what_wget_says_is_read() -> None:
    said = {"began": "10.50", "ended": "11.52", "code": "1", "said": "wget: server returned error: HTTP/1.1 504 Gateway Timeout"}
    assert str(chapter._reply(said)) == "504 after 1.0 s"
    assert chapter._reply({**said, "code": "0", "said": ""}).status == 200
    assert chapter._reply({**said, "code": "143", "said": ""}).status == 0
