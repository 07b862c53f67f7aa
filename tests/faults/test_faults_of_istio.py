"""Faults of Istio and its Envoys on the embedded cluster, and of an installation that is killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from process_tree import program, tree
from real_cluster import RealCluster
from waiting import until

from meshcourse.cluster import clusters
from meshcourse.engine import binaries

pytestmark = pytest.mark.slow

Healed = Callable[[str, float], None]
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "nginx"}]},
}


@pytest.fixture(scope="module")
def meshed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[clusters.Cluster, RealCluster]]:
    """A cluster without Istio at first: the first test installs it, the others use it."""
    os.environ["MESHCOURSE_STATE"] = str(tmp_path_factory.mktemp("state"))
    name = f"istio-faults-{os.getpid()}"
    started = clusters.up(name, ingress_port=0)
    try:
        yield started, RealCluster.of(started)
    finally:
        clusters.down(name)


def istio_works(cluster: RealCluster) -> bool:
    """Whether a new pod gets a sidecar and becomes Ready."""
    cluster.run("kubectl", "delete", "pod", "web", "--ignore-not-found", check=False)
    if cluster.run("kubectl", "apply", "-f", "-", stdin=json.dumps(POD), check=False).returncode:
        return False
    if cluster.run("kubectl", "wait", "pod/web", "--for=condition=Ready", "--timeout=20s", check=False).returncode:
        return False
    spec = cluster.get("pod", "web")["spec"]
    return any(each["name"] == "istio-proxy" for each in [*spec.get("initContainers", []), *spec["containers"]])


def test_an_installation_that_is_killed_half_way_is_finished_by_the_next_up(meshed: Any, healed: Healed) -> None:
    started, cluster = meshed
    cluster.kubectl("label", "namespace", "default", "istio-injection=enabled")
    words = [str(binaries.program("istioctl")), "install", "--set", "profile=demo", "-y"]
    installing = subprocess.Popen(words, env=dict(cluster.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: cluster.run("kubectl", "-n", "istio-system", "get", "deployment", "istiod", check=False).returncode == 0, within=60)
    installing.kill()
    installing.wait()
    began = time.monotonic()
    up = [sys.executable, "-m", "meshcourse.cli.main", "up", "--name", started.name]
    done = subprocess.run(up, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    healed("`istioctl install` killed half-way (until `up` has finished it)", time.monotonic() - began)
    until(lambda: istio_works(cluster), within=60)


@pytest.mark.parametrize(("what", "label"), [("pilot-discovery", "app=istiod"), ("envoy", "app=istio-ingressgateway")])
def test_a_program_of_istio_that_is_killed_comes_back(what: str, label: str, meshed: Any, healed: Healed) -> None:
    started, cluster = meshed

    def is_ready() -> bool:
        words = ["kubectl", "-n", "istio-system", "wait", "pod", "-l", label, "--for=condition=Ready", "--timeout=1s"]
        return cluster.run(*words, check=False).returncode == 0

    until(is_ready, within=60)
    killed = [pid for pid in tree(started.pid) if program(pid) == what]
    assert killed
    began = time.monotonic()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until(lambda: bool({pid for pid in tree(started.pid) if program(pid) == what} - set(killed)), within=30)
    until(is_ready, within=30)
    until(lambda: istio_works(cluster), within=60)
    healed(f"SIGKILL of every {what}", time.monotonic() - began)
