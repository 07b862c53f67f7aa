"""A real hub under a prefix, with two learners and the instructor, for all tests of this folder that ask for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hub_user import HubUser
from real_cluster import RealCluster

from meshcourse.backends import learners
from meshcourse.core.errors import MissingPrerequisite
from meshcourse.workshop import record, running

ADA = "Ada Lovelace"
NAMES = (ADA, "王小明", "Guessed Often")
Command = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Class:
    """A workshop that runs: `command` runs `meshcourse workshop WORDS` on it."""

    workshop: record.Workshop
    folder: Path
    command: Command

    def user(self, name: str) -> HubUser:
        """Somebody who is logged in."""
        place = next(each for each in (self.workshop.instructor, *self.workshop.learners) if each.name == name)
        found = HubUser(self.workshop.url, place.account)
        assert found.log_in(name, place.code).status_code == 302
        return found


def free() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@pytest.fixture(scope="session")
def proxy() -> str:
    """The hub's proxy, where Node.js is there and npm's registry can be reached."""
    if not shutil.which("node"):
        pytest.skip("there is no Node.js, which JupyterHub's proxy needs: sudo apt install nodejs npm")
    try:
        return running.proxy(lambda _: None)
    except MissingPrerequisite as error:
        pytest.skip(f"{error.what} {error.why}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command line with a state folder of its own; whatever it started is ended."""
    folder = tmp_path_factory.mktemp("workshop")

    def run(*words: str, within: float = 300) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "MESHCOURSE_STATE": str(folder / "state"), "COLUMNS": "200"}
        argv = [sys.executable, "-m", "meshcourse.cli.main", "workshop", *words]
        return subprocess.run(argv, cwd=folder, env=given, capture_output=True, text=True, timeout=within, check=False)

    yield run
    run("down", "--yes")


@contextlib.contextmanager
def started(place: Command, *words: str) -> Iterator[Class]:
    """A workshop under a prefix, by `meshcourse workshop up WORDS`."""
    done = place("up", *words, "--base-url", "/class/", "--port", str(free()))
    assert done.returncode == 0, done.stderr
    (sheet,) = (Path(line.split("to print: ", 1)[1]) for line in done.stderr.splitlines() if "to print: " in line)
    folder, patched = sheet.parent / "state" / "workshop", pytest.MonkeyPatch()
    patched.setenv(record.VARIABLE, str(folder))
    yield Class(record.require(), folder, place)
    patched.undo()


@pytest.fixture(scope="module")
def classroom(place: Command, proxy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Class]:
    names = tmp_path_factory.mktemp("names") / "class.txt"
    names.write_text("\n".join(NAMES), encoding="utf-8")
    with started(place, "--names", str(names)) as found:
        yield found


@pytest.fixture(scope="module")
def shared(place: Command, proxy: str, cluster: RealCluster) -> Iterator[Class]:
    """One learner, whose pods run on the tests' own cluster."""
    cluster.kubectl("apply", "-f", str(learners.FILE))
    with started(place, "--add", ADA, "--on", "existing", "--kubeconfig", str(cluster.kubeconfig)) as found:
        yield found
    place("down", "--yes")
    cluster.kubectl("delete", "-f", str(learners.FILE))
