from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from meshcourse.core.errors import KubernetesError, MeshError
from meshcourse.mesh.rules import weights

SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, labels: {kept: "yes"}}
spec:
  hosts: [web.example]
  http:
  - name: internal
    match: [{headers: {x-team: {exact: internal}}}]
    route: [{destination: {host: web, subset: v2}}]
  - name: split
    timeout: 3s
    retries: {attempts: 2}
    route:
    - {destination: {host: web, subset: v1, port: {number: 80}}, weight: 90, headers: {response: {add: {x-from: v1}}}}
    - {destination: {host: web, subset: v2}, weight: 10}
"""


@pytest.fixture
def web(cluster: Any, namespace: str) -> str:
    cluster.apply(namespace, SERVICE)
    return namespace


def test_the_only_route_that_splits_is_found_by_itself_by_name_and_by_number(cluster: Any, web: str) -> None:
    assert weights.read(cluster.connection, web, "web") == {"v1": 90, "v2": 10}
    assert weights.read(cluster.connection, web, "web", "split") == {"v1": 90, "v2": 10}
    assert weights.read(cluster.connection, web, "web", "internal") == {"v2": 100}


def test_writing_changes_the_weights_and_nothing_else(cluster: Any, web: str) -> None:
    before = cluster.get("-n", web, "virtualservice", "web")
    assert weights.write(cluster.connection, web, "web", {"v1": 35, "v2": 65}) == {"v1": 35, "v2": 65}
    after = cluster.get("-n", web, "virtualservice", "web")
    assert [each["weight"] for each in after["spec"]["http"][1]["route"]] == [35, 65]
    for found in (before, after):
        for each in found["spec"]["http"][1]["route"]:
            del each["weight"]
    assert after["spec"] == before["spec"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]


def test_a_subset_left_out_gets_nothing(cluster: Any, web: str) -> None:
    assert weights.write(cluster.connection, web, "web", {"v2": 100}) == {"v1": 0, "v2": 100}
    assert weights.read(cluster.connection, web, "web") == {"v1": 0, "v2": 100}


@pytest.mark.parametrize("wrong", [{"v1": 50, "v2": 40}, {"v1": 101}, {"v1": 110, "v2": -10}, {}, {"v1": True, "v2": 99}])
def test_weights_that_do_not_sum_to_100_are_refused_and_nothing_is_sent(cluster: Any, web: str, wrong: dict[str, int]) -> None:
    before = cluster.get("-n", web, "virtualservice", "web")["metadata"]["resourceVersion"]
    with pytest.raises(MeshError) as caught:
        weights.write(cluster.connection, web, "web", wrong)
    assert caught.value.why
    assert cluster.get("-n", web, "virtualservice", "web")["metadata"]["resourceVersion"] == before


def test_a_subset_that_the_route_lacks_is_refused(cluster: Any, web: str) -> None:
    with pytest.raises(MeshError, match="no destination v3") as caught:
        weights.write(cluster.connection, web, "web", {"v1": 50, "v3": 50})
    assert "v1, v2" in caught.value.why


def test_what_is_not_there_is_named(cluster: Any, web: str) -> None:
    with pytest.raises(KubernetesError, match="There is no VirtualService shop") as refused:
        weights.read(cluster.connection, web, "shop")
    assert refused.value.code == 404
    assert refused.value.status["reason"] == "NotFound"
    with pytest.raises(MeshError, match="no http route 'nope'") as caught:
        weights.read(cluster.connection, web, "web", "nope")
    assert "internal, split" in caught.value.why


def test_istios_refusal_keeps_its_status(cluster: Any, web: str) -> None:
    """A validating policy of the test stands for any admission check; the API server's Status is passed on unchanged."""
    policy = json.dumps(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": f"freeze-{web}"},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": web}},
                    "resourceRules": [
                        {
                            "apiGroups": ["networking.istio.io"],
                            "apiVersions": ["*"],
                            "operations": ["UPDATE"],
                            "resources": ["virtualservices"],
                        }
                    ],
                },
                "validations": [{"expression": "false", "message": "no release on Fridays"}],
            },
        }
    )
    binding = json.dumps(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": f"freeze-{web}"},
            "spec": {"policyName": f"freeze-{web}", "validationActions": ["Deny"]},
        }
    )
    try:
        cluster.kubectl("apply", "-f", "-", stdin=policy)
        cluster.kubectl("apply", "-f", "-", stdin=binding)
        refused = first_refusal(cluster, web)
        assert "no release on Fridays" in refused.why
        assert refused.code == 422
        assert refused.status["kind"] == "Status"
        assert weights.read(cluster.connection, web, "web") != {"v1": 1, "v2": 99}
    finally:
        cluster.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", f"freeze-{web}")


def first_refusal(cluster: Any, web: str) -> KubernetesError:
    """The API server takes a moment to apply a new policy."""
    for turn in range(600):
        try:
            weights.write(cluster.connection, web, "web", {"v1": 100 - turn % 50, "v2": turn % 50})
        except KubernetesError as error:
            return error
    pytest.fail("the policy never acted")


def test_someone_elses_change_in_between_is_kept() -> None:
    """The patch holds only for the route that was read: its first operation tests that."""
    destinations = [
        {"destination": {"host": "web", "subset": "v1"}, "weight": 90},
        {"destination": {"host": "web", "subset": "v2"}, "weight": 10},
    ]
    operations = weights.patch(1, destinations, {"v1": 20, "v2": 80}, "web")
    assert operations[0] == {"op": "test", "path": "/spec/http/1/route", "value": destinations}
    assert [(each["path"], each["value"]) for each in operations[1:]] == [
        ("/spec/http/1/route/0/weight", 20),
        ("/spec/http/1/route/1/weight", 80),
    ]


def test_two_writers_at_once_both_end_with_whole_weights(cluster: Any, web: str) -> None:
    failures: list[Exception] = []

    def drag(first: int) -> None:
        for part in range(first, first + 20):
            try:
                weights.write(cluster.connection, web, "web", {"v1": 100 - part, "v2": part})
            except KubernetesError as error:
                failures.append(error)

    threads = [threading.Thread(target=drag, args=(first,)) for first in (0, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(weights.read(cluster.connection, web, "web").values()) == 100
    assert all(error.code in {409, 422} for error in failures)
    assert not failures, [error.why for error in failures]
