"""A real Chromium and a real JupyterLab, for every test that looks at the course as a learner does."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1200})
        opened.set_default_timeout(60_000)
        try:
            yield opened
        finally:
            opened.screenshot(path=str(artifacts / f"{Path(request.module.__file__).stem}-last.png"))
            browser.close()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[str]]:
    """`with serve(cluster, folder) as url`: what `meshcourse lab` prints, serving copies of the course in that folder."""

    @contextlib.contextmanager
    def serving(cluster: Any, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
        words = [sys.executable, "-m", "meshcourse.cli.main", "lab", "--name", cluster.name, "--folder", str(folder)]
        log = tmp_path_factory.mktemp("lab") / "lab.log"
        with log.open("wb") as output:
            server = subprocess.Popen(words, env={**cluster.environment, **(more or {})}, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield printed_url(server, log)
        finally:
            server.send_signal(2)
            try:
                server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    return serving


def printed_url(server: subprocess.Popen[bytes], log: Path) -> str:
    ends = time.monotonic() + 90
    while time.monotonic() < ends and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+/lab\S+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.1)
    pytest.fail(f"`meshcourse lab` printed no URL: {log.read_text()}")
