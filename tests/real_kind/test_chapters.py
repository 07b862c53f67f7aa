"""Chapters on a real kind cluster, as a learner finds them and solved: 2, 5 and 6, or those that MESHCOURSE_KIND_CHAPTERS names ("all")."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import ptyprocess
import pytest
from cli.test_terminals import BARE, Screen

from meshcourse.backends.kind import Kind
from meshcourse.course import chapters
from meshcourse.jupyterlab import options
from meshcourse.lab import terminal

from .conftest import Run

NAMED = os.environ.get("MESHCOURSE_KIND_CHAPTERS", "2 5 6")
NUMBERS = [str(chapter.number) for chapter in chapters.CHAPTERS.values()] if NAMED == "all" else NAMED.split()


@pytest.mark.parametrize("number", NUMBERS)
def test_solved_it_passes_and_untouched_it_is_not_attempted(number: str, cluster: Kind, cli: Run, tmp_path: Path) -> None:
    done = cli("notebooks", "run", number, "--both", "--name", cluster.name, "--no-compare", "--out", tmp_path, timeout=1500)
    rows = re.findall(r"^ *\d\d_\w+ .*$", done.stdout, re.MULTILINE)
    sys.stderr.write("\n" + "\n".join(rows) + "\n")
    assert len(rows) == 2
    assert all(row.rstrip().endswith("ok") for row in rows)
    assert any("passed" in row for row in rows)


def test_a_terminal_of_jupyterlab_is_in_the_chapters_cluster_and_namespace(cluster: Kind, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "terminal.sh"
    given = {"MESHCOURSE_CLUSTER": cluster.name, terminal.VARIABLE: str(file)}
    run(sys.executable, "-c", "from meshcourse import lab; lab.chapter('00-start')", **given)
    variables = {
        "HOME": str(tmp_path),
        "PATH": BARE,
        "SHELL": "/bin/bash",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        terminal.VARIABLE: str(file),
    }
    words = ["/bin/sh", str(options.SHELLS / "start.sh"), str(options.SHELLS)]
    child = ptyprocess.PtyProcessUnicode.spawn(words, env=variables, dimensions=(40, 200))
    try:
        screen = Screen(child)
        screen.shows("(start) ")
        screen.runs("kubectl create configmap typed && kubectl get configmaps --output name; echo EN''D", "END")
        assert "configmap/typed" in screen.text
        screen.runs("kubectl get nodes; istioctl proxy-status; echo EN''D", "END")
        assert f"{cluster.name}-control-plane" in screen.text
        assert "istio-ingressgateway" in screen.text
    finally:
        child.close(force=True)
    run("kubectl", "--kubeconfig", cluster.kubeconfig(), "-n", "start", "delete", "configmap", "typed")


def test_papermill_runs_a_learners_notebook_on_the_cluster_that_is_named(cluster: Kind, run: Run, tmp_path: Path) -> None:
    notebook = chapters.folder() / "00_start.ipynb"
    run(sys.executable, "-m", "papermill", "--cwd", notebook.parent, notebook, tmp_path / "out.ipynb", MESHCOURSE_CLUSTER=cluster.name)
    assert f"cluster {cluster.name} runs" in (tmp_path / "out.ipynb").read_text()


def test_a_machines_run_may_name_the_backend(cluster: Kind, cli: Run, tmp_path: Path) -> None:
    words = ["notebooks", "run", "0", "--solutions", "--name", cluster.name, "-p", "backend=kind"]
    cli(*words, "--no-compare", "--out", tmp_path)
