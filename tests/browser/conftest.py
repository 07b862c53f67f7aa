"""A real Chromium and a real JupyterLab, for every test that uses the course as a learner does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest
from browsing import Desk


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


@pytest.fixture(scope="session")
def page(chromium: str, artifacts: Path) -> Iterator[Any]:
    with browsing.opened(chromium, artifacts / "browser-last.png") as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_desk(cluster: Any, page: Any, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The page before one JupyterLab, which serves a learner's copies of the course."""
    with browsing.desk(cluster, page, tmp_path_factory.mktemp("desk"), artifacts) as made:
        yield made
