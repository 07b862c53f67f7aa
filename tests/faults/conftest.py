"""A cluster of its own for the faults, without Istio, and a table of how long each took to heal (build/faults.md)."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_tree import program, tree
from real_cluster import RealCluster

from meshcourse.cluster import clusters

TABLE = Path(__file__).parents[2] / "build" / "faults.md"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clusters.Cluster]:
    """The cluster; at the end none of its processes is left."""
    os.environ["MESHCOURSE_STATE"] = str(tmp_path_factory.mktemp("state"))
    name = f"faults-{os.getpid()}"
    started = clusters.up(name, ingress_port=0)
    pids: list[int] = []
    try:
        yield started
        pids = tree(started.pid)
    finally:
        clusters.down(name)
    assert [pid for pid in pids if program(pid)] == []


@pytest.fixture
def cluster(faulty: clusters.Cluster) -> RealCluster:
    return RealCluster.of(faulty)


@pytest.fixture
def namespace(cluster: RealCluster) -> Iterator[str]:
    name = f"f-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def pid_of(faulty: clusters.Cluster) -> Callable[[str], int]:
    """The process of a component."""

    def find(name: str) -> int:
        return next(pid for pid in tree(faulty.pid) if program(pid) == name)

    return find


@pytest.fixture(scope="session")
def healed() -> Iterator[Callable[[str, float], None]]:
    """Note how many seconds it took until the cluster was well after a fault."""
    rows: list[str] = []
    yield lambda fault, seconds: rows.append(f"| {fault} | {seconds:.1f} s |")
    if rows:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
        TABLE.write_text("\n".join([f"Measured {when}, commit {commit}.", "", "| fault | until healed |", "|---|---|", *rows, ""]))
