"""A real kind cluster for the session, made of images that were made here. `make kind-course`, and CI, run these tests; CI leaves out those
that make a cluster anew, which are most of the time.

Where no container engine answers they are skipped, unless MESHCOURSE_REQUIRE_KIND=1. tests/real_kind/with-engine starts one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshcourse.authoring import course_images
from meshcourse.backends import containers
from meshcourse.backends.kind import Kind
from meshcourse.core.errors import MissingPrerequisite
from meshcourse.imagemaking import made

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "real"
ALL = os.environ.get("MESHCOURSE_KIND_CHAPTERS") == "all"
anew = pytest.mark.skipif(not ALL, reason="makes a cluster anew: `make kind-course` runs it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They are slow, and those of the last two files take the cluster down."""
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in here:
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.flaky(reruns=1))  # as what runs on the embedded cluster
    items.sort(key=lambda item: item.path.name if item in here and item.path.name.startswith("test_z") else "")


@pytest.fixture(scope="session", autouse=True)
def engine() -> containers.Engine:
    """The container engine, and made images beside it."""
    required = os.environ.get("MESHCOURSE_REQUIRE_KIND") == "1"
    try:
        found = containers.find()
    except MissingPrerequisite as error:
        if required:
            raise
        pytest.skip(f"kind: {error.what} (tests/real_kind/with-engine starts one as root)")
    if not required and made.find(course_images.of_chapters()) is None:
        pytest.skip("kind: images are not made yet (make kind)")
    return found


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A program with this session's state; it must end well, unless `check` is False."""
    os.environ["MESHCOURSE_STATE"] = str(tmp_path_factory.mktemp("state"))

    def ended(*words: str | Path, check: bool = True, timeout: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "COLUMNS": "150", **environment}
        done = subprocess.run(words, env=given, capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    return ended


@pytest.fixture(scope="session")
def cli(run: Run) -> Run:
    """`meshcourse WORDS`."""
    return lambda *words, **options: run(sys.executable, "-m", "meshcourse.cli.main", *words, **options)


@pytest.fixture(scope="session")
def cluster(cli: Run) -> Iterator[Kind]:
    """The cluster, up with Istio's demo profile; afterwards nothing of it is left."""
    started = time.monotonic()
    up = cli("up", "--name", NAME, "--backend", "kind", "--images", "made", timeout=1200)
    sys.stderr.write(f"\n{up.stderr}up: {time.monotonic() - started:.0f} s\n")
    try:
        yield Kind(NAME)
    finally:
        cli("down", "--name", NAME)
