"""Faults of a running cluster (`make faults`): after each it is well again by itself, and nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from healing import heal, pod, send
from process_tree import program, tree
from waiting import until

from meshcourse.cluster import clusters

pytestmark = pytest.mark.slow

Healed = Callable[[str, float], None]
ASLEEP = float(os.environ.get("MESHCOURSE_ASLEEP", "60"))
"""Seconds; the node's lease ends after 40."""
LOST = re.compile(r"meshcourse: \d+ bytes of this log were lost: no space")
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_that_is_killed_comes_back(
    component: str, faulty: clusters.Cluster, cluster: Any, namespace: str, pid_of: Any, healed: Healed
) -> None:
    before = pid_of(component)
    cluster.kubectl("-n", namespace, "create", "configmap", "kept", "--from-literal=a=1")
    os.kill(before, signal.SIGKILL)
    began = time.monotonic()
    until(lambda: any(program(pid) == component for pid in tree(faulty.pid) if pid != before), within=30)
    heal(cluster, namespace)
    seconds = time.monotonic() - began
    assert cluster.kubectl("-n", namespace, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"
    healed(f"SIGKILL of {component}", seconds)
    assert seconds < 30


def test_a_container_that_is_killed_is_started_again(faulty: clusters.Cluster, cluster: Any, namespace: str, healed: Healed) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("victim", "exec sleep 86397", terminationGracePeriodSeconds=0))
    cluster.kubectl("-n", namespace, "wait", "pod/victim", "--for=condition=Ready", "--timeout=30s")
    os.kill(next(pid for pid in tree(faulty.pid) if _words(pid) == ["sleep", "86397"]), signal.SIGKILL)
    began = time.monotonic()

    def status() -> Any:
        found = json.loads(cluster.kubectl("-n", namespace, "get", "pod", "victim", "-o", "json"))["status"]
        return found["containerStatuses"][0]

    until(lambda: status()["restartCount"] == 1 and status()["ready"], within=30)
    healed("SIGKILL of a container", time.monotonic() - began)
    assert status()["lastState"]["terminated"]["exitCode"] == 137


def test_binary_output_comes_out_of_the_log_as_it_went_in(cluster: Any, namespace: str) -> None:
    script = "head -c 300000 /usr/lib/busybox/busybox"
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("binary", script, restartPolicy="Never"))
    cluster.kubectl("-n", namespace, "wait", "pod/binary", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    words = ["kubectl", "-n", namespace, "logs", "binary"]
    logged = subprocess.run(words, env=dict(cluster.environment), capture_output=True, check=True, timeout=60).stdout
    assert logged == Path(shutil.which("busybox") or "").resolve().read_bytes()[:300_000]


def test_an_api_server_that_stands_still_for_half_a_minute(cluster: Any, namespace: str, pid_of: Any, healed: Healed) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("runs", "sleep 600", terminationGracePeriodSeconds=0))
    cluster.kubectl("-n", namespace, "wait", "pod/runs", "--for=condition=Ready", "--timeout=30s")
    stopped = pid_of("kube-apiserver")
    os.kill(stopped, signal.SIGSTOP)
    try:
        time.sleep(30)  # the fault itself
    finally:
        os.kill(stopped, signal.SIGCONT)
    healed("kube-apiserver stopped for 30 s", heal(cluster, namespace))
    status = json.loads(cluster.kubectl("-n", namespace, "get", "pod", "runs", "-o", "json"))["status"]
    assert status["containerStatuses"][0]["restartCount"] == 0
    assert status["phase"] == "Running"


def test_a_laptop_that_sleeps(faulty: clusters.Cluster, cluster: Any, namespace: str, healed: Healed) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("runs", "sleep 600", terminationGracePeriodSeconds=0))
    cluster.kubectl("-n", namespace, "wait", "pod/runs", "--for=condition=Ready", "--timeout=30s")
    everything = tree(faulty.pid)
    send(everything, signal.SIGSTOP)
    try:
        time.sleep(ASLEEP)  # the fault itself
    finally:
        send(everything, signal.SIGCONT)
    healed(f"a laptop asleep: every process stopped for {ASLEEP:g} s", heal(cluster, namespace))
    until(lambda: cluster.kubectl("-n", namespace, "get", "pod", "runs", "-o", "jsonpath={.status.containerStatuses[0].ready}") == "true")


def test_a_container_that_writes_a_gigabyte_keeps_the_end_of_its_log(
    faulty: clusters.Cluster, cluster: Any, namespace: str, healed: Healed
) -> None:
    script = "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 1000000000; echo; echo last"
    began = time.monotonic()
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("talks", script, restartPolicy="Never"))
    cluster.kubectl("-n", namespace, "wait", "pod/talks", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s", timeout=310)
    healed("a container writes 1 GB (until it has ended)", time.monotonic() - began)
    assert cluster.kubectl("-n", namespace, "logs", "talks", "--tail=1") == "last\n"
    assert len(cluster.kubectl("-n", namespace, "logs", "talks", timeout=120)) < 25_000_000


@pytest.mark.skipif(os.geteuid() != 0, reason="makes the disk of pods smaller, as root")
def test_a_full_disk_under_a_pods_log_costs_lines_and_not_the_pod(cluster: Any, namespace: str, pid_of: Any, healed: Healed) -> None:
    inside = ("nsenter", "--mount", f"--target={pid_of('etcd')}")

    def disk(column: str) -> int:
        return int(cluster.run(*inside, "df", "--block-size=1", f"--output={column}", "/run").stdout.split()[-1])

    def log() -> list[str]:
        return list(cluster.kubectl("-n", namespace, "logs", "talks").splitlines())

    def no_line_for_a_second() -> bool:
        cluster.run(*inside, "mount", "-o", f"remount,size={disk('used')}", "/run", check=False)  # others may write or delete just now
        before = len(log())
        time.sleep(1)
        return len(log()) == before

    def gap() -> tuple[int, int] | None:
        """The numbers of the lines before and after the lost ones."""
        lines = log()
        lost = next((number for number, line in enumerate(lines) if LOST.fullmatch(line)), len(lines))
        return (int(lines[lost - 1].split()[0]), int(lines[lost + 1].split()[0])) if lost + 1 < len(lines) else None

    size = disk("size")
    script = f"i=0; while true; do i=$((i+1)); echo $i {'x' * 1000}; sleep 0.05; done"
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("talks", script, terminationGracePeriodSeconds=0))
    cluster.kubectl("-n", namespace, "wait", "pod/talks", "--for=condition=Ready", "--timeout=30s")
    until(log)
    try:
        until(no_line_for_a_second, within=60)
    finally:
        cluster.run(*inside, "mount", "-o", f"remount,size={size}", "/run")
    began = time.monotonic()
    until(gap)
    healed("a full disk under a pod's log (until its lines are kept again)", time.monotonic() - began)
    before, after = gap() or (0, 0)
    assert after > before + 1
    heal(cluster, namespace)
    assert cluster.get("-n", namespace, "pod", "talks")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_pod_that_ignores_the_signal_and_forks_orphans_goes_with_all_of_them(
    faulty: clusters.Cluster, cluster: Any, namespace: str, healed: Healed
) -> None:
    script = "trap '' TERM; i=0; while [ $i -lt 50 ]; do (setsid sleep 86399 &); i=$((i+1)); done; while true; do sleep 0.1; done"
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("stubborn", script, terminationGracePeriodSeconds=2))
    cluster.kubectl("-n", namespace, "wait", "pod/stubborn", "--for=condition=Ready", "--timeout=30s")

    def orphans() -> int:
        return sum(_words(pid) == ["sleep", "86399"] for pid in tree(faulty.pid))

    until(lambda: orphans() == 50)
    began = time.monotonic()
    cluster.kubectl("-n", namespace, "delete", "pod", "stubborn")
    until(lambda: orphans() == 0, within=5)
    healed("deleting a pod that ignores SIGTERM (2 s grace) and has 50 orphans", time.monotonic() - began)


def _words(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - read once
            return [word.decode(errors="replace") for word in file.read().split(b"\0") if word]
    except OSError:
        return []


def test_a_hundred_pods_come_and_go_and_leave_nothing(faulty: clusters.Cluster, cluster: Any, namespace: str, healed: Healed) -> None:
    labels = {"app": "many"}
    container = {"name": "app", "image": "busybox", "command": ["sleep", "600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many"},
        "spec": {"replicas": 100, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }
    processes: list[int] = []
    for _ in range(3):
        began = time.monotonic()
        cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(manifest))
        cluster.kubectl("-n", namespace, "rollout", "status", "deployment/many", "--timeout=180s", timeout=190)
        ready = time.monotonic() - began
        cluster.kubectl("-n", namespace, "delete", "deployment", "many", "--cascade=foreground", "--timeout=120s", timeout=130)
        until(lambda: not cluster.get("-n", namespace, "pods")["items"], within=60)
        healed("100 pods of one Deployment until Ready", ready)
        processes.append(len(tree(faulty.pid)))
    assert processes[2] <= processes[0] + 3, processes
