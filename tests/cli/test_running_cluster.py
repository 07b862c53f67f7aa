"""Commands against the session's real cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshcourse.backends.embedded import Embedded
from meshcourse.backends.programs import search_path

Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.cluster


@pytest.fixture
def where(cluster: Any) -> dict[str, str]:
    """The state folder in which the session's cluster lives."""
    return {"MESHCOURSE_STATE": str(cluster.home.parents[1])}


def test_status_shows_components_node_and_istio(meshcourse: Run, cluster: Any, where: dict[str, str]) -> None:
    done = meshcourse("status", "--name", cluster.name, environment=where)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"node +{cluster.name} Ready", done.stdout)
    assert re.search(r"Istio +1\.31\.0: .*istiod 1/1", done.stdout)
    assert re.search(r"kube-apiserver +running +\d+", done.stdout)


def test_running_cluster_says_that_it_keeps_its_ports(meshcourse: Run, cluster: Any, where: dict[str, str]) -> None:
    done = meshcourse("up", "--name", cluster.name, "--istio", "none", "--ingress-port", "1024", environment=where)
    assert done.returncode == 0, done.stderr
    assert f"it keeps its ports; for others, stop it first: meshcourse down --name {cluster.name}" in done.stderr
    assert cluster.ingress_url in done.stdout


def test_status_for_programs_is_one_object(meshcourse: Run, cluster: Any, where: dict[str, str]) -> None:
    found = json.loads(meshcourse("status", "--name", cluster.name, "--output", "json", environment=where).stdout)
    assert found["ingress_url"] == cluster.ingress_url
    assert found["nodes"] == {cluster.name: True}
    assert found["istio"]["ready"] is True
    assert {"etcd", "kube-apiserver"} <= {each["name"] for each in found["components"]}


def test_env_lets_a_shell_use_kubectl_and_istioctl(meshcourse: Run, cluster: Any, where: dict[str, str]) -> None:
    lines = meshcourse("env", "--name", cluster.name, environment=where).stdout
    script = 'eval "$1"; kubectl get nodes -o name; istioctl version --remote=false -o json; echo "$INGRESS_URL"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", lines],
        env={"PATH": os.defpath, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"node/{cluster.name}" in done.stdout
    assert '"version": "1.31.0"' in done.stdout
    assert done.stdout.endswith(f"{cluster.ingress_url}\n")


def test_up_finds_a_running_cluster_and_changes_nothing(meshcourse: Run, cluster: Any, where: dict[str, str]) -> None:
    before = Embedded(cluster.name).status()
    done = meshcourse("up", "--name", cluster.name, "--images", "registry", environment=where)
    assert done.returncode == 0, done.stderr
    assert "it keeps --images table" in done.stderr
    assert f"Ingress gateway: {cluster.ingress_url}" in done.stdout
    assert Embedded(cluster.name).status().started == before.started


def test_logs_of_a_component_are_shown(meshcourse: Run, cluster: Any, where: dict[str, str]) -> None:
    assert meshcourse("logs", "node", "--name", cluster.name, environment=where).returncode == 0
    refused = meshcourse("logs", "kubelet", "--name", cluster.name, environment=where)
    assert refused.returncode == 1
    assert "kube-apiserver" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_lab_prints_a_url_that_answers_and_ends_with_ctrl_c_or_its_terminal(
    cluster: Any, where: dict[str, str], tmp_path: Path, number: int
) -> None:
    words = [
        sys.executable,
        "-m",
        "meshcourse.cli.main",
        "lab",
        "--name",
        cluster.name,
        "--folder",
        str(tmp_path / "own"),
        "--istio",
        "none",
    ]
    server = subprocess.Popen(words, env={**os.environ, **where}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        found = next(match for line in server.stdout if (match := re.match(r"(http://127\.0\.0\.1:\d+)/lab/tree/(\S+)\?token=(\w+)", line)))
        address, notebook, token = found.groups()
        with urllib.request.urlopen(  # noqa: S310 - our own server
            f"{address}/api/contents/{notebook}?token={token}&content=0", timeout=20
        ) as answer:
            assert json.load(answer)["type"] == "notebook"
    finally:
        server.send_signal(number)
        rest, _ = server.communicate(timeout=30)
    assert server.returncode == 0, rest
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(address, timeout=5)  # noqa: S310 - our own server


def test_path_has_each_folder_once() -> None:
    once = search_path("/usr/bin:/usr/bin::/bin")
    assert search_path(once) == once
    assert once.endswith(":/usr/bin:/bin")
