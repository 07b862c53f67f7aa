"""The backend `existing` on a kind cluster, of which it gets nothing but the kubeconfig: alone, and for two learners at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcourse.backends import learners, records
from meshcourse.backends.kind import Kind
from meshcourse.course import chapters

from .conftest import Run


@pytest.fixture
def attached(cluster: Kind, cli: Run) -> Iterator[Run]:
    """Attach a name to the cluster; every one is detached again at the end."""
    names: list[str] = []

    def attach(name: str, *words: str) -> None:
        names.append(name)
        cli("up", "--name", name, "--backend", "existing", "--kubeconfig", cluster.kubeconfig(), "--yes", *words)

    yield attach  # type: ignore[misc]
    for name in names:
        cli("down", "--name", name)


def test_a_chapter_runs_with_nothing_but_the_kubeconfig(cluster: Kind, attached: Run, run: Run, tmp_path: Path) -> None:
    attached("theirs")
    notebook = chapters.folder() / "00_start.ipynb"
    words = [sys.executable, "-m", "papermill", "--cwd", notebook.parent, notebook, tmp_path / "out.ipynb", "-p", "seconds", "4"]
    run(*words, MESHCOURSE_CLUSTER="theirs")
    assert "cluster theirs runs" in (tmp_path / "out.ipynb").read_text()


def test_two_learners_share_it(cluster: Kind, attached: Run, run: Run) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig())]
    run(*kubectl, "apply", "-f", learners.FILE)
    for name in ("ada", "bob"):
        attached(name, "--learner", name)
        run(sys.executable, "-c", "from meshcourse import lab; lab.chapter('00-start')", MESHCOURSE_CLUSTER=name)
    ports = {name: records.find(name).gateway_port for name in ("ada", "bob")}  # type: ignore[union-attr]
    assert len(set(ports.values())) == 2
    assert 80 not in ports.values()
    namespaces = run(*kubectl, "get", "namespaces", "-o", "name").stdout
    assert {"namespace/ada-start", "namespace/bob-start"} <= set(namespaces.split())
    run(*kubectl, "delete", "-f", learners.FILE)
