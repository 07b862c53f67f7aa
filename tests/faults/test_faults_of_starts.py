"""Faults of what starts and stops a cluster: whoever is killed, nothing is left, and the next command works."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_tree import program, tree
from real_cluster import RealCluster
from waiting import until

from meshcourse.cluster import clusters
from meshcourse.core import paths
from meshcourse.core.errors import MeshcourseError

pytestmark = pytest.mark.slow

Healed = Callable[[str, float], None]


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a cluster in a state folder of its own; it is stopped at the end, and leaves no control group."""
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path / "state"))
    name = f"starts-{os.getpid()}"
    yield name
    clusters.down(name)
    assert list(Path("/sys/fs/cgroup").glob(f"**/meshcourse-{name}")) == []


def command(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "meshcourse.cli.main", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def runs(name: str) -> bool:
    found = clusters.find(name)
    return found is not None and RealCluster.of(found).run("kubectl", "get", "nodes", check=False).returncode == 0


def up_again(name: str) -> float:
    began = time.monotonic()
    clusters.up(name, ingress_port=0)
    assert runs(name)
    return time.monotonic() - began


def test_a_killed_daemon_takes_everything_with_it_and_up_starts_anew(name: str, healed: Healed) -> None:
    started = clusters.up(name, ingress_port=0)
    pids = tree(started.pid)
    os.kill(started.pid, signal.SIGKILL)
    until(lambda: not any(program(pid) for pid in pids), within=10)
    until(lambda: clusters.find(name) is None, within=10)
    healed("SIGKILL of the daemon (until `up` has started it anew)", up_again(name))


def test_a_killed_up_leaves_a_cluster_that_the_next_up_finds(name: str, healed: Healed) -> None:
    starting = command("up", "--name", name, "--ingress-port", "0", "--istio", "none")
    try:
        until((paths.cluster(name) / "daemon.json").exists, within=60)
    finally:
        starting.kill()
        starting.wait()
    began = time.monotonic()

    def comes_up() -> bool:
        try:
            clusters.up(name, ingress_port=0)
        except MeshcourseError:  # what the killed one left is ending
            return False
        return runs(name)

    until(comes_up, within=120)
    healed("SIGKILL of `up` (until the next one has a cluster)", time.monotonic() - began)


def test_a_killed_down_still_ends_the_cluster(name: str, healed: Healed) -> None:
    started = clusters.up(name, ingress_port=0)
    pids = tree(started.pid)
    stopping = command("down", "--name", name)
    until(lambda: not any(program(pid) == "kube-scheduler" for pid in pids), within=20)
    stopping.kill()
    stopping.wait()
    until(lambda: not any(program(pid) for pid in pids), within=15)
    healed("SIGKILL of `down` (until `up` has started the cluster anew)", up_again(name))


def fill(disk: Path) -> None:
    """Write until the disk has no room."""
    with (disk / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(1_000_000))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_loses_nothing_and_heals_when_there_is_room_again(
    name: str, healed: Healed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(disk)], check=True)
    try:
        monkeypatch.setenv("MESHCOURSE_STATE", str(disk))
        cluster = RealCluster.of(clusters.up(name, ingress_port=0))
        cluster.kubectl("create", "configmap", "before", "--from-literal=a=1")
        fill(disk)
        kept = ["before"]
        for number in range(400):  # the write-ahead log has room for some more
            if cluster.run("kubectl", "create", "configmap", f"c{number}", f"--from-literal=a={'x' * 100_000}", check=False).returncode:
                break
            kept.append(f"c{number}")
        else:
            pytest.fail("the disk was never full")
        ends = time.monotonic() + 60
        while time.monotonic() < ends:  # the fault itself; an etcd that starts again deletes files that it did not finish
            fill(disk)
            time.sleep(0.2)
        (disk / "ballast").unlink()
        began = time.monotonic()
        until(lambda: cluster.run("kubectl", "create", "configmap", "after", check=False).returncode == 0, within=60)
        seconds = time.monotonic() - began
        healed(f"a disk under the state folder that is full for a minute, {len(kept)} objects later (from when there is room)", seconds)
        assert seconds < 30
        there = {each["metadata"]["name"] for each in cluster.get("configmaps")["items"]}
        assert set(kept) <= there, set(kept) - there
    finally:
        clusters.down(name)
        subprocess.run(["umount", "-l", str(disk)], check=True)
