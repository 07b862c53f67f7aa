"""The contract of every backend, tested on a real kind cluster."""

from __future__ import annotations

import json

import pytest
from backends.test_contract import (
    Subject,
    test_environment_is_all_that_a_shell_needs,
    test_it_is_found_by_its_name,
    test_kubeconfig_is_its_owners_alone,
    test_status_says_what_it_is_and_where,
    test_up_again_finds_it_and_changes_nothing,
)

from meshcourse.backends.kind import Kind

__all__ = [
    "test_environment_is_all_that_a_shell_needs",
    "test_it_is_found_by_its_name",
    "test_kubeconfig_is_its_owners_alone",
    "test_status_says_what_it_is_and_where",
    "test_up_again_finds_it_and_changes_nothing",
]


@pytest.fixture
def subject(cluster: Kind) -> Subject:
    return Subject(cluster, "kind")


def test_images_come_from_the_clusters_own_registry(cluster: Kind, run: object) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig())]
    assert callable(run)
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "always", "namespace": "default"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "sh",
                    "image": "busybox",
                    "imagePullPolicy": "Always",
                    "command": ["sh", "-c", "uname; nslookup kubernetes.default.svc.cluster.local"],
                }
            ],
        },
    }
    run("sh", "-c", f"echo '{json.dumps(manifest)}' | {' '.join(kubectl)} apply -f -")
    run(*kubectl, "wait", "pod/always", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
    assert run(*kubectl, "logs", "always").stdout.startswith("Linux")
    events = run(*kubectl, "get", "events", "--field-selector=involvedObject.name=always", "-o", "jsonpath={.items[*].reason}").stdout
    assert {"Pulling", "Pulled"} <= set(events.split())
    run(*kubectl, "delete", "pod", "always")


def test_the_gateway_has_the_mapped_port_from_the_beginning(cluster: Kind, run: object) -> None:
    assert callable(run)
    words = ["kubectl", "--kubeconfig", str(cluster.kubeconfig()), "-n", "istio-system", "get", "service", "istio-ingressgateway"]
    ports = run(*words, "-o", "jsonpath={.spec.ports[?(@.port==80)].nodePort}").stdout
    assert ports == "31718"
