"""What the kubelet API says of processor time and memory, and to whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.node.process import usage
from meshcourse.node.process.usage import Use
from meshcourse.node.streaming import resource_metrics
from meshcourse.node.streaming.resource_metrics import ContainerUse, NodeUse

NODE = NodeUse(
    "n",
    1_800_000_000.5,
    "2027-01-15T07:00:00Z",
    Use(9.5, 3000),
    (
        ContainerUse("shop", "web", "u", "app", "2027-01-15T08:00:00Z", Use(1.5, 1000)),
        ContainerUse("shop", "web", "u", "proxy", "2027-01-15T07:59:59Z", Use(0.25, 500)),
    ),
)


def test_resource_metrics_are_those_that_metrics_server_reads() -> None:
    lines = resource_metrics.resource(NODE).splitlines()
    assert 'container_cpu_usage_seconds_total{container="app",namespace="shop",pod="web"} 1.5 1800000000500' in lines
    assert 'container_start_time_seconds{container="app",namespace="shop",pod="web"} 1800000000.0 1800000000500' in lines
    assert 'pod_memory_working_set_bytes{namespace="shop",pod="web"} 1500 1800000000500' in lines
    assert "node_cpu_usage_seconds_total 9.5 1800000000500" in lines


def test_the_summary_adds_up_the_containers_of_a_pod() -> None:
    found = resource_metrics.summary(NODE)
    assert found["node"]["cpu"]["usageCoreNanoSeconds"] == 9_500_000_000
    (pod,) = found["pods"]
    assert (pod["podRef"]["name"], pod["memory"]["workingSetBytes"], pod["startTime"]) == ("web", 1500, "2027-01-15T07:59:59Z")
    assert [each["name"] for each in pod["containers"]] == ["app", "proxy"]


def test_the_use_of_this_very_process_grows() -> None:
    own = Path("/proc/self")
    before = usage.cpu_seconds((own / "stat").read_text())
    until(lambda: usage.cpu_seconds((own / "stat").read_text()) > before)
    assert 1_000_000 < usage.memory_bytes(own) <= usage.read()[""].memory_bytes


@pytest.mark.cluster
def test_a_busy_container_is_seen_through_the_api_server(kubectl: Any, apply: Any, cluster: Any, namespace: str) -> None:
    busy = {"name": "busy", "image": "busybox", "command": ["sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 600"]}
    apply("worker", [busy, {"name": "idle", "image": "busybox", "command": ["sleep", "600"]}], terminationGracePeriodSeconds=0)
    kubectl("wait", "pod/worker", "--for=condition=Ready", "--timeout=30s")

    def seconds() -> dict[str, float]:
        found = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{cluster.name}/proxy/stats/summary"))
        pod = next(each for each in found["pods"] if each["podRef"]["namespace"] == namespace)
        return {each["name"]: each["cpu"]["usageCoreNanoSeconds"] / 1e9 for each in pod["containers"]}

    until(lambda: seconds()["busy"] > 0.2)
    assert seconds()["idle"] < 0.2


@pytest.mark.cluster
def test_a_pod_reads_metrics_only_when_its_account_may(kubectl: Any, apply: Any, namespace: str) -> None:
    apply("asker", [{"name": "app", "image": "busybox", "command": ["sleep", "600"]}], terminationGracePeriodSeconds=0)
    kubectl("wait", "pod/asker", "--for=condition=Ready", "--timeout=30s")
    token = "$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)"
    url = "https://172.18.0.2:10250/metrics/resource"

    def answer(*headers: str) -> str:
        words = " ".join(f'-H "{each}"' for each in headers)
        return str(kubectl("exec", "asker", "--", "sh", "-c", f"curl -sk {words} {url}"))

    assert answer() == "Unauthorized"
    assert answer("Authorization: Bearer nonsense") == "Unauthorized"
    assert answer(f"Authorization: Bearer {token}").startswith("Forbidden")
    role = f"metrics-{namespace}"
    kubectl("create", "clusterrole", role, "--verb=get", "--resource=nodes/metrics")
    kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", f"--serviceaccount={namespace}:default")
    try:
        until(lambda: "container_cpu_usage_seconds_total{" in answer(f"Authorization: Bearer {token}"))
        other = kubectl("exec", "asker", "--", "sh", "-c", f'curl -sk -H "Authorization: Bearer {token}" https://172.18.0.2:10250/pods')
        assert other.startswith("Forbidden")
    finally:
        kubectl("delete", "clusterrolebinding", role)
        kubectl("delete", "clusterrole", role)
