"""A real Chromium and a real JupyterLab, for every test that uses the course as a learner does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import browsing
import pytest


@pytest.fixture(scope="session")
def chromium() -> str:
    found = browsing.chromium()
    if found is None:
        reason = "there is no Chromium on PATH; install one: sudo apt install chromium"
        if os.environ.get("MESHCOURSE_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    folder = Path(os.environ.get("MESHCOURSE_ARTIFACTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def page(chromium: str, artifacts: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    with browsing.opened(chromium, artifacts / f"{Path(request.module.__file__).stem}-last.png") as opened:
        yield opened


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[str]]:
    """`with serve(cluster, folder) as url`: what `meshcourse lab` prints, serving copies of the course in that folder."""

    return lambda cluster, folder: browsing.serving(cluster, folder, tmp_path_factory.mktemp("lab") / "lab.log")
