"""The engine as a wheel: packed, installed by pip into an empty environment, found by the package."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries, wheel


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    folder = tmp_path / "engine"
    folder.mkdir()
    for program in binaries.PROGRAMS:
        path = folder / program.name
        path.write_text(f"#!/bin/sh\necho {program.name}\n")
        path.chmod(0o755)
    (folder / binaries.BOOTSTRAP).write_text("{}\n")
    return folder


def installed(archive: Path, folder: Path) -> Path:
    """Install `archive` with pip into a new environment; returns its site-packages."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--no-index", "--no-deps"]
    subprocess.run([*words, str(archive)], check=True, capture_output=True, timeout=120)
    return next((folder / "lib").glob("python3*/site-packages"))


def home(site: Path, tmp_path: Path) -> str:
    """What binaries.home() says when that environment's packages are importable."""
    environment = {**os.environ, "PYTHONPATH": str(site), "MESHCOURSE_CACHE": str(tmp_path / "cache")}
    environment.pop("MESHCOURSE_ENGINE", None)
    code = "from meshcourse.engine import binaries; print(binaries.home())"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_wheel_installs_into_an_empty_environment_and_its_programs_are_found_and_run(engine: Path, tmp_path: Path) -> None:
    archive = wheel.pack(engine, tmp_path / "dist")
    site = installed(archive, tmp_path / "environment")
    found = site / "meshcourse_engine" / "bin"
    assert home(site, tmp_path) == str(found)
    assert subprocess.run([found / "etcd"], capture_output=True, text=True, check=True).stdout == "etcd\n"
    assert binaries.missing(found) == ()


@pytest.mark.slow
def test_wheel_of_another_version_is_not_taken(engine: Path, tmp_path: Path) -> None:
    site = installed(wheel.pack(engine, tmp_path / "dist", key="0" * 16), tmp_path / "environment")
    assert home(site, tmp_path) == str(tmp_path / "cache" / "engine" / binaries.key())


def test_the_same_programs_give_the_same_wheel(engine: Path, tmp_path: Path) -> None:
    first, second = (wheel.pack(engine, tmp_path / folder) for folder in ("one", "two"))
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_an_engine_that_lacks_a_program_is_not_packed(engine: Path, tmp_path: Path) -> None:
    (engine / "fortio").unlink()
    with pytest.raises(EngineError, match="fortio") as refused:
        wheel.pack(engine, tmp_path / "dist")
    assert refused.value.next == "meshcourse engine build"
    assert not (tmp_path / "dist").exists()
