"""Notebooks executed as a learner, or a machine, would: in a folder of their own, by a real kernel, on the session's cluster."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from meshcourse.lab import notebooks

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LIMIT = 300


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a copy of the course's folder, with the learner's notebooks or the solved ones."""

    def make(*, solutions: bool) -> Path:
        folder = tmp_path_factory.mktemp("solved" if solutions else "learner")
        notebooks.build(NOTEBOOKS / "source", folder, solutions=solutions)
        shutil.copytree(NOTEBOOKS / "manifests", folder / "manifests")
        shutil.copytree(NOTEBOOKS / "source", folder / "source")
        return folder

    return make


@pytest.fixture(scope="session")
def execute(cluster: Any) -> Callable[..., Any]:
    """Run a notebook by papermill, and return it with its outputs. A cell that fails fails the test, with its error."""

    def run(path: Path) -> Any:
        done = path.with_name(f"{path.stem}.done.ipynb")
        words = [sys.executable, "-m", "papermill", "--no-progress-bar", "--cwd", str(path.parent), str(path), str(done)]
        ended = subprocess.run(words, env=dict(cluster.environment), capture_output=True, text=True, timeout=LIMIT, check=False)
        if ended.returncode:
            pytest.fail(f"{path.name}: {ended.stderr[-4000:]}")
        return nbformat.read(done, as_version=4)  # type: ignore[no-untyped-call]

    return run
