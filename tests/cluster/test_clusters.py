from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.cluster import clusters
from meshcourse.core import files
from meshcourse.core.errors import ClusterError

pytestmark = pytest.mark.slow  # a second cluster is started


@pytest.fixture(scope="module")
def second(cluster: object) -> Iterator[clusters.Cluster]:
    """Another cluster beside the session's."""
    started = clusters.up(f"second-{os.getpid()}", ingress_port=0)
    yield started
    clusters.down(started.name)


def test_two_clusters_run_side_by_side(cluster: Any, second: clusters.Cluster) -> None:
    running = {each.name: each for each in clusters.running()}  # the chapters' cluster is another one
    assert running.keys() >= {cluster.name, second.name}
    for port in ("api_port", "ingress_port", "https_port"):
        assert getattr(running[cluster.name], port) != getattr(running[second.name], port)
    node = subprocess.run(
        ["kubectl", "--kubeconfig", str(second.kubeconfig), "get", "nodes", "-o", "name"],
        env=dict(cluster.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    assert node.stdout == f"node/{second.name}\n"


def test_up_again_returns_the_running_cluster(second: clusters.Cluster) -> None:
    assert clusters.up(second.name, ingress_port=0) == second


def test_its_folder_is_its_owners_alone(second: clusters.Cluster) -> None:
    assert second.home.stat().st_mode & 0o777 == 0o700


def test_every_component_is_reported_running(second: clusters.Cluster) -> None:
    names = {each.name: each.state for each in clusters.health(second)}
    assert names == dict.fromkeys(("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"), "running")


def test_a_cluster_of_another_version_is_refused_with_the_way_out(second: clusters.Cluster) -> None:
    record = second.home / "daemon.json"
    facts = json.loads(record.read_text())
    record.write_text(json.dumps({**facts, "version": "0.0.1", "noted_by_that_version_only": True}))
    with pytest.raises(ClusterError) as refused:
        clusters.up(second.name)
    record.write_text(json.dumps(facts))
    assert "0.0.1" in refused.value.what
    assert refused.value.next == f"meshcourse down --name {second.name} && meshcourse up --name {second.name}"


@pytest.mark.parametrize("option", ["api_port", "ingress_port"])
def test_a_taken_port_is_named_and_nothing_runs_afterwards(cluster: object, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError) as refused:
            clusters.up("taken", **{"ingress_port": 0, option: port})
    assert f"127.0.0.1:{port}" in refused.value.what
    assert "--" + option.replace("_", "-") in refused.value.next
    assert clusters.find("taken") is None


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "a b", "../x", "x" * 33])
def test_a_name_that_cannot_be_a_nodes_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="cannot be the name"):
        clusters.up(name)


def test_down_of_a_cluster_that_does_not_run_says_so(cluster: object) -> None:
    assert clusters.down("never-started") is False
    with pytest.raises(ClusterError, match="does not run") as refused:
        clusters.get("never-started")
    assert refused.value.next == "meshcourse up --name never-started"


def test_an_interrupt_while_it_starts_leaves_nothing(cluster: object) -> None:
    words = [sys.executable, "-m", "meshcourse.cli.main", "up", "--name", "interrupted", "--istio", "none", "--ingress-port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as starting:
        assert starting.stderr
        assert starting.stderr.readline().strip() == "starting etcd and kube-apiserver"
        starting.send_signal(signal.SIGINT)
        said = starting.stderr.read()
    assert clusters.find("interrupted") is None
    assert starting.returncode == 128 + signal.SIGINT
    assert "run the same command to continue" in said


def test_a_restarted_api_server_finds_its_pods_running(cluster: object, namespace: str, wait_for: object) -> None:
    kubectl = cluster.kubectl  # type: ignore[attr-defined]
    kubectl("-n", namespace, "run", "web", "--image=nginx")
    wait_for(namespace, "pod/web")  # type: ignore[operator]
    before = kubectl("-n", namespace, "get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
    found = clusters.get(cluster.name)  # type: ignore[attr-defined]
    server = next(pid for pid in _inside(found) if _program(pid) == "kube-apiserver")
    os.kill(server, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not any(each.name == "kube-apiserver" and each.state == "running" and each.restarts for each in clusters.health(found)):
        assert time.monotonic() < deadline
        os.sched_yield()
    kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=20s", check=False)
    while kubectl("-n", namespace, "get", "pod", "web", "-o", "jsonpath={.status.phase}", check=False) != "Running":
        assert time.monotonic() < deadline
    assert kubectl("-n", namespace, "get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}") == before


def test_kubernetes_gives_memory_back_between_bursts_of_work(cluster: object, second: clusters.Cluster) -> None:
    server = next(pid for pid in _inside(second) if _program(pid) == "kube-apiserver")
    words = ("kubectl", "--kubeconfig", str(second.kubeconfig), "get", "--raw")

    def answer(path: str) -> str:
        environment = dict(cluster.environment)  # type: ignore[attr-defined]
        return subprocess.run([*words, path], env=environment, capture_output=True, text=True, check=True).stdout

    def growth() -> list[str]:
        return re.findall(r"^go_gc_gogc_percent (\d+)", answer("/metrics"), re.MULTILINE)

    def memory() -> int:
        return int(re.findall(r"^RssAnon:\s+(\d+)", Path(f"/proc/{server}/status").read_text(), re.MULTILINE)[0])

    until(lambda: answer("/openapi/v2") and growth() == ["100"])
    most = memory()
    until(lambda: memory() < 0.9 * most)
    assert growth() == ["50"]


def test_after_a_kill_the_cluster_is_gone_and_up_works_at_once(second: clusters.Cluster) -> None:
    os.kill(second.pid, signal.SIGKILL)
    until(lambda: not files.is_locked(second.home / "lock"), 10)
    assert clusters.find(second.name) is None
    again = clusters.up(second.name, ingress_port=0)
    assert again.pid != second.pid


def _program(pid: int) -> str:
    return Path(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()).name


def _inside(found: clusters.Cluster) -> list[int]:
    """All processes of a cluster, by the host's numbering."""
    pids, waiting = [], [found.pid]
    while waiting:
        each = waiting.pop()
        pids.append(each)
        waiting += [int(word) for word in Path(f"/proc/{each}/task/{each}/children").read_text().split()]
    return pids
