"""One real cluster for the whole session: the embedded one, with Istio's demo profile, in a state folder of its own.

It takes about ten seconds to start and serves every test that asks for `cluster`. It takes the course's port 31718 when
that is free (nothing else on this machine may be disturbed by a test run), any other one when it is not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_cluster import RealCluster

from meshcourse.backends import rbac
from meshcourse.cluster import clusters
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError
from meshcourse.mesh.install import installation

LEARNERS = "meshcourse-learners"


def pytest_configure() -> None:
    """Who ends a run early, such as `timeout` or a CI server, ends its clusters too: SIGTERM tears down like Ctrl-C.

    A shell lets what it starts in the background ignore Ctrl-C, and children inherit that; the tests interrupt some.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


CHAPTERS = "tests/notebooks"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A process runs the tests of one file together, and all that look at executed chapters: those are executed once."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where several processes run

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return CHAPTERS if nodeid.startswith(CHAPTERS) else nodeid.partition("::")[0]

    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Why each test that was run again had failed: a retry is a fault that waits to be mended."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"first run of {report.nodeid}", sep="_")
        terminalreporter.line(report.longreprtext[-3000:])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the longest tests begin first. What fails on the real mesh is tried again, once, and listed as RERUN (RATIONALE.md)."""
    for item in items:
        if item.get_closest_marker("cluster") or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))
    marks = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("browser", "slow", "cluster")}
    items.sort(key=lambda item: (not item.nodeid.startswith(CHAPTERS), *(item.path not in files for files in marks.values())))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    state = tmp_path_factory.mktemp("state")
    os.environ["MESHCOURSE_STATE"] = str(state)
    name = f"test-{os.getpid()}"
    try:
        started = clusters.up(name, ingress_port=settings.INGRESS_NODE_PORT)
    except ClusterError as error:
        if str(settings.INGRESS_NODE_PORT) not in error.what:
            raise
        started = clusters.up(name, ingress_port=0)
    try:
        found = RealCluster.of(started)
        installation.install(found.connection)
        yield found
    finally:
        clusters.down(name)


@pytest.fixture
def namespace(cluster: RealCluster) -> Iterator[str]:
    """A fresh namespace; it is deleted afterwards, without waiting."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def injected(cluster: RealCluster, namespace: str) -> str:
    """A fresh namespace whose pods get a sidecar."""
    cluster.kubectl("label", "namespace", namespace, "istio-injection=enabled")
    return namespace


@pytest.fixture
def wait_for(cluster: RealCluster) -> Callable[..., str]:
    """`kubectl wait`, with a time limit."""

    def wait(namespace: str, what: str, condition: str = "condition=Ready", seconds: int = 30) -> str:
        return cluster.kubectl("-n", namespace, "wait", f"--for={condition}", what, f"--timeout={seconds}s", timeout=seconds + 10)

    return wait


@pytest.fixture
def meshcourse(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, in a state folder of its own: run `meshcourse WORDS`; `environment` is laid over this process's."""

    def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "MESHCOURSE_STATE": str(tmp_path / "state"), "COLUMNS": "120", **(environment or {})}
        given.pop("MESHCOURSE_CLUSTER", None)
        return subprocess.run(
            [sys.executable, "-m", "meshcourse.cli.main", *words], env=given, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture(scope="session")
def learner(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A kubeconfig for a ServiceAccount of that name, with the course's roles or with none."""
    cluster.kubectl("create", "namespace", LEARNERS)
    folder = tmp_path_factory.mktemp("kubeconfigs")

    def made(name: str, *, allowed: bool = True) -> Path:
        path = folder / f"{name}.kubeconfig"
        account = f"--serviceaccount={LEARNERS}:{name}"
        if allowed:  # each time: chapter 2 takes istio-system away, and the Role and its binding with it
            cluster.kubectl("apply", "-f", str(rbac.FILE))
            for words in (
                ["create", "clusterrolebinding", name, "--clusterrole=meshcourse", account],
                ["-n", "istio-system", "create", "rolebinding", name, "--role=meshcourse", account],
            ):
                cluster.apply("istio-system", cluster.kubectl(*words, "--dry-run=client", "-o", "yaml"))
        if path.exists():
            return path
        cluster.kubectl("-n", LEARNERS, "create", "serviceaccount", name)
        content = json.loads(cluster.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
        content["users"][0]["user"] = {"token": cluster.kubectl("-n", LEARNERS, "create", "token", name, "--duration=3h").strip()}
        path.write_text(json.dumps(content))
        return path

    return made
