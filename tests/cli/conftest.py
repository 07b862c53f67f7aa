"""The command line as a person uses it: a process of its own, in a state folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def meshcourse(tmp_path: Path) -> Run:
    """Run `meshcourse WORDS`; `environment` is laid over this process's."""

    def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "MESHCOURSE_STATE": str(tmp_path / "state"), "COLUMNS": "120", **(environment or {})}
        given.pop("MESHCOURSE_CLUSTER", None)
        return subprocess.run(
            [sys.executable, "-m", "meshcourse.cli.main", *words], env=given, capture_output=True, text=True, timeout=120, check=False
        )

    return run
