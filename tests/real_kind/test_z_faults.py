"""Faults of a real container engine, and what remains afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from meshcourse.backends import containers, kind_images, kind_nodes, records
from meshcourse.backends.kind import Kind

from .conftest import Run


def node(cluster: Kind) -> str:
    return f"{cluster.name}-control-plane"


def test_a_stopped_node_starts_again(cluster: Kind, cli: Run, engine: containers.Engine, run: Run) -> None:
    run(engine.program, "stop", node(cluster))
    assert cluster.stopped()
    assert "exited" in cli("status", "--name", cluster.name).stdout
    up = cli("up", "--name", cluster.name)
    assert "its nodes had stopped: they start again" in up.stderr
    assert not cluster.stopped()
    run("kubectl", "--kubeconfig", str(cluster.kubeconfig()), "get", "--raw", "/readyz")


def test_a_paused_node_goes_on(cluster: Kind, cli: Run, engine: containers.Engine, run: Run) -> None:
    run(engine.program, "pause", node(cluster))
    assert "paused" in cli("status", "--name", cluster.name).stdout
    cli("up", "--name", cluster.name, "--istio", "none")
    assert not cluster.stopped()


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


def test_ctrl_c_while_kind_creates_leaves_nothing(engine: containers.Engine, run: Run, cli: Run, cluster: Kind) -> None:
    cli("down", "--name", cluster.name)
    words = [sys.executable, "-m", "meshcourse.cli.main", "up", "--name", "broken", "--backend", "kind", "--images", "made"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 120
    while not kind_nodes.of(engine, "broken") and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert kind_nodes.of(engine, "broken") == ()
    assert not records.Record("broken", "kind", 0).home.exists()


def test_after_down_nothing_is_left(engine: containers.Engine, cluster: Kind) -> None:
    assert kind_nodes.of(engine, cluster.name) == ()
    assert kind_nodes.labelled(engine, f"dev.meshcourse.registry={cluster.name}") == ()
    assert not records.Record(cluster.name, "kind", 0).home.exists()
