"""Faults of a real container engine, and what remains afterwards."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import until

from meshcourse.backends import containers, kind_images, kind_nodes, records
from meshcourse.backends.kind import Kind
from meshcourse.core.errors import KubernetesError
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection

from .conftest import Run, anew

ANSWER = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: answer, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: [answer.example], port: {number: 80, name: http, protocol: HTTP}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: answer, namespace: default}
spec: {hosts: [answer.example], gateways: [answer], http: [{directResponse: {status: 200, body: {string: here}}}]}
"""
"""What the gateway's Envoy answers by itself."""
SOON = 45
"""Seconds within which a command says that a node does not run; on an idle machine it takes one."""


def node(cluster: Kind) -> str:
    return f"{cluster.name}-control-plane"


def test_a_stopped_node_starts_again(cluster: Kind, cli: Run, engine: containers.Engine, run: Run) -> None:
    run(engine.program, "stop", node(cluster))
    assert cluster.stopped()
    refused = cli("status", "--name", cluster.name, timeout=SOON)
    assert f"{node(cluster)} (exited)" in refused.stderr
    assert f"meshcourse up --name {cluster.name} " in refused.stderr
    up = cli("up", "--name", cluster.name)
    assert f"starting again: {node(cluster)} (exited)" in up.stderr
    assert not cluster.stopped()
    run("kubectl", "--kubeconfig", str(cluster.kubeconfig()), "get", "--raw", "/readyz")


def test_a_paused_node_is_named_at_once_and_goes_on(cluster: Kind, cli: Run, engine: containers.Engine, run: Run) -> None:
    """It accepts connections and never answers, so whatever asks its API server needs a limit of its own."""
    run(engine.program, "pause", node(cluster))
    refused = cli("status", "--name", cluster.name, timeout=SOON)
    assert f"{node(cluster)} (paused)" in refused.stderr
    assert f"meshcourse up --name {cluster.name} " in refused.stderr
    connection = Connection(cluster.kubeconfig(), cluster.ingress_url(), cluster.environment())
    before = time.monotonic()
    with pytest.raises(KubernetesError, match="does not answer"):
        resources.read(connection.core().list_node)
    assert time.monotonic() - before < SOON
    cli("up", "--name", cluster.name, "--istio", "none", timeout=4 * SOON)
    assert not cluster.stopped()


def test_a_node_paused_for_half_a_minute_under_load_answers_again(
    cluster: Kind, engine: containers.Engine, run: Run, tmp_path: Path
) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig()), "--request-timeout=5s"]
    manifest = tmp_path / "answer.yaml"
    manifest.write_text(ANSWER)
    until(lambda: run(*kubectl, "apply", "-f", manifest, check=False).returncode == 0, within=180)  # istiod is back a while after its node
    asked = f"while :; do curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' -H 'Host: answer.example' {cluster.ingress_url()}; done"
    with subprocess.Popen(["sh", "-c", asked], stdout=subprocess.PIPE, text=True, start_new_session=True) as load:
        assert load.stdout is not None
        codes = (line.strip() for line in load.stdout)
        try:
            assert "200" in itertools.islice(codes, 2000)
            run(engine.program, "pause", node(cluster))
            paused = time.monotonic()
            assert "000" in itertools.islice(codes, 200)
            while time.monotonic() - paused < 30:
                assert next(codes) == "000"
            run(engine.program, "unpause", node(cluster))
            assert "200" in itertools.islice(codes, 2000)
        finally:
            os.killpg(load.pid, signal.SIGKILL)
            run(engine.program, "unpause", node(cluster), check=False)
    until(lambda: run(*kubectl, "get", "--raw", "/readyz", check=False).returncode == 0, within=60)


@anew
def test_status_names_a_deleted_node_and_up_makes_the_cluster_again(cluster: Kind, cli: Run, engine: containers.Engine, run: Run) -> None:
    run(engine.program, "rm", "--force", "--volumes", node(cluster))
    refused = cli("status", "--name", cluster.name, timeout=SOON)
    assert "were deleted" in refused.stderr
    assert f"meshcourse up --name {cluster.name} " in refused.stderr
    up = cli("up", "--name", cluster.name, "--istio", "none", timeout=600)
    assert "kind create cluster" in up.stderr
    assert "were deleted" not in cli("status", "--name", cluster.name).stderr


@anew
def test_what_a_killed_up_has_left_is_deleted_by_the_next(cluster: Kind, cli: Run, engine: containers.Engine, run: Run) -> None:
    cli("down", "--name", cluster.name)
    words = [
        sys.executable,
        "-m",
        "meshcourse.cli.main",
        "up",
        "--name",
        cluster.name,
        "--backend",
        "kind",
        "--images",
        "made",
        "--istio",
        "none",
    ]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            until(lambda: kind_nodes.of(engine, cluster.name), within=120)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    refused = cli("status", "--name", cluster.name, check=False, timeout=SOON)
    assert "does not run" in refused.stderr
    up = cli(*words[3:], timeout=600)
    assert "an earlier `up` did not finish it" in up.stderr
    run("kubectl", "--kubeconfig", str(cluster.kubeconfig()), "get", "--raw", "/readyz")


def test_an_image_pulled_by_its_digest_is_carried_in_a_file(cluster: Kind, engine: containers.Engine, run: Run, tmp_path: Path) -> None:
    registry = run(engine.program, "port", f"{cluster.name}-registry", "5000/tcp").stdout.split()[0]
    headers = run(
        "curl", "-sI", "-H", "Accept: application/vnd.oci.image.manifest.v1+json", f"http://{registry}/v2/library/busybox/manifests/latest"
    ).stdout
    digest = next(line.split()[1] for line in headers.splitlines() if line.lower().startswith("docker-content-digest"))
    image = f"{registry}/library/busybox:latest@{digest}"
    kind_images.pull([image], lambda _: None)
    kind_images.save([image], tmp_path / "all.tar")
    run(engine.program, "image", "rm", "--force", f"{registry}/library/busybox@{digest}", f"{registry}/library/busybox:latest")
    assert not kind_images.known(engine, image)
    kind_images.restore(tmp_path / "all.tar")
    assert kind_images.known(engine, image) in {image, image.partition("@")[0]}
    kind_images.give(cluster.name, [image], lambda _: None)
    listed = run(engine.program, "exec", node(cluster), "crictl", "images").stdout
    assert f"{registry}/library/busybox" in listed


def test_public_images_out_of_reach_name_the_other_way(cli: Run) -> None:
    refused = cli("up", "--name", "public", "--backend", "kind", check=False, timeout=900)
    assert refused.returncode != 0
    if "31718" in refused.stderr:
        assert "is in use" in refused.stderr
    else:
        assert "--images made" in refused.stderr
    assert records.find("public") is None
    assert not records.Record("public", "kind", 0).home.exists()


@anew
def test_ctrl_c_while_kind_creates_leaves_nothing(engine: containers.Engine, run: Run, cli: Run, cluster: Kind) -> None:
    cli("down", "--name", cluster.name)
    words = [sys.executable, "-m", "meshcourse.cli.main", "up", "--name", "broken", "--backend", "kind", "--images", "made"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until(lambda: kind_nodes.of(engine, "broken"), within=120)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0
    assert kind_nodes.of(engine, "broken") == ()
    assert not records.Record("broken", "kind", 0).home.exists()


def test_after_down_nothing_is_left(engine: containers.Engine, cluster: Kind, cli: Run) -> None:
    cli("down", "--name", cluster.name)
    assert kind_nodes.of(engine, cluster.name) == ()
    assert kind_nodes.labelled(engine, f"dev.meshcourse.registry={cluster.name}") == ()
    assert not records.Record(cluster.name, "kind", 0).home.exists()
