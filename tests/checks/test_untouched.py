"""Changes of a chapter's own programs and Services, found from objects alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meshcourse.checks import untouched
from meshcourse.checks.chapters import EXERCISES
from meshcourse.checks.untouched import contains
from meshcourse.course import given
from meshcourse.kube import manifests

SHOP = EXERCISES["5.1"]
GIVEN = given.of("5.1")
KINDS = {"Deployment", "Service", "ConfigMap"}


def pod(name: str, deployment: str = "", **labels: str) -> dict[str, Any]:
    owners = [{"kind": "ReplicaSet", "name": f"{deployment}-5d4f8c"}] if deployment else []
    return {"kind": "Pod", "metadata": {"name": name, "labels": labels, "ownerReferences": owners}}


@pytest.fixture
def live() -> list[dict[str, Any]]:
    """The chapter's namespace as its files leave it, with what the API server adds."""
    every = [copy.deepcopy(dict(each)) for manifest in GIVEN for each in manifest.objects if each["kind"] in KINDS]
    for each in every:
        each["metadata"]["uid"] = "1"
        if each["kind"] == "Deployment":
            each["spec"]["template"]["spec"]["restartPolicy"] = "Always"
            each["spec"]["template"]["spec"]["containers"].append({"name": "istio-proxy", "image": "istio/proxyv2"})
    return [*every, pod("web-v1-5d4f8c-1", "web-v1", app="web", version="v1")]


def one(live: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(each for each in live if (each["kind"], each["metadata"]["name"]) == (kind, name))


def seen(live: list[dict[str, Any]]) -> str:
    return untouched.first(SHOP, GIVEN, live)[0]


def test_what_others_add_and_the_number_of_pods_are_no_change(live: list[dict[str, Any]]) -> None:
    one(live, "Deployment", "web-v1")["spec"]["replicas"] = 4
    assert seen(live) == ""


@pytest.mark.parametrize("number", [number for number in EXERCISES if not number.startswith("2.")])
def test_each_chapters_own_files_are_no_change(number: str) -> None:
    own = given.of(number)
    every = [each for manifest in own for each in manifest.objects if not each["metadata"].get("namespace")]
    assert untouched.first(EXERCISES[number], own, [dict(each) for each in every]) == ("", "")


def test_another_image_another_page_and_another_selector_are_told(live: list[dict[str, Any]]) -> None:
    one(live, "Deployment", "web-v2")["spec"]["template"]["spec"]["containers"][0]["image"] = "fortio/fortio"
    assert seen(live) == "Deployment web-v2 is not what its file says"
    live.remove(one(live, "Deployment", "web-v2"))
    one(live, "Service", "web")["spec"]["selector"]["version"] = "v1"
    assert seen(live) == "Service web is not what its file says"
    del one(live, "Service", "web")["spec"]["selector"]["version"]
    one(live, "ConfigMap", "web-v1")["data"]["index.html"] = "v2"
    assert seen(live) == "ConfigMap web-v1 is not what its file says"


def test_a_pod_without_a_sidecar_is_told_but_where_that_is_the_exercise(live: list[dict[str, Any]]) -> None:
    one(live, "Deployment", "web-v1")["spec"]["template"]["metadata"]["labels"][untouched.INJECT] = "false"
    assert "Deployment web-v1" in seen(live)
    (legacy,) = manifests.parse(LEGACY)
    assert untouched.first(EXERCISES["3.1"], given.of("3.1"), [dict(legacy)]) == ("", "")


LEGACY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: legacy}
spec:
  selector: {matchLabels: {app: legacy}}
  template:
    metadata: {labels: {app: legacy, sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: nginx, image: "nginx:1.25"}]}
"""


def test_a_pod_of_ones_own_behind_a_service_is_told(live: list[dict[str, Any]]) -> None:
    assert seen([*live, pod("fake", app="web")]) == "pod fake answers for the Service web, and none of the chapter's Deployments made it"
    assert "pod fake" in seen([*live, pod("fake", "fake", app="web")])
    assert seen([*live, pod("client", app="client")]) == ""


def test_an_envoy_filter_and_a_missing_service_are_told(live: list[dict[str, Any]]) -> None:
    assert "EnvoyFilter tricks" in seen([*live, {"kind": "EnvoyFilter", "metadata": {"name": "tricks"}}])
    live.remove(one(live, "Service", "web"))
    assert untouched.first(SHOP, GIVEN, live) == ("there is no Service web", "kubectl apply -f manifests/05_canary/02-service.yaml")


def test_lists_of_words_must_be_equal_and_lists_of_objects_may_have_more() -> None:
    assert contains({"args": ["a"], "ports": [{"port": 1}, {"port": 2, "name": "x"}]}, {"args": ["a"], "ports": [{"port": 2}]})
    assert not contains({"args": ["a", "b"]}, {"args": ["a"]})
    assert not contains({"ports": [{"port": 1}]}, {"ports": [{"port": 2}]})
