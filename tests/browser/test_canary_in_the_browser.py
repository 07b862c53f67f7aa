"""Chapter 5 as a learner sees it: a real Chromium opens it in a real JupyterLab, runs every cell, and moves real traffic with the mouse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.cluster, pytest.mark.slow]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OBSERVED = re.compile(r"observed ([\d.]+) % \(n=([\d,]+)\)")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if found is None:
        reason = "there is no Chromium on PATH; install one: sudo apt install chromium"
        if os.environ.get("MESHCOURSE_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def jupyter(cluster: Any, tmp_path: Path) -> Iterator[str]:
    """The URL that `meshcourse lab` prints, serving a learner's fresh copy."""
    cluster.kubectl("delete", "namespace", "canary", "--ignore-not-found", timeout=120)
    words = [sys.executable, "-m", "meshcourse.cli.main", "lab", "--name", cluster.name, "--folder", str(tmp_path / "own")]
    log = tmp_path / "lab.log"
    with log.open("wb") as output:
        server = subprocess.Popen(words, env=dict(cluster.environment), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield printed_url(server, log)
    finally:
        server.send_signal(2)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        cluster.kubectl("delete", "namespace", "canary", "--ignore-not-found", timeout=120)


def printed_url(server: subprocess.Popen[bytes], log: Path) -> str:
    ends = time.monotonic() + 90
    while time.monotonic() < ends and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+/lab\S+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.1)
    pytest.fail(f"`meshcourse lab` printed no URL: {log.read_text()}")


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1200})
        opened.set_default_timeout(60_000)
        try:
            yield opened
        finally:
            opened.screenshot(path=str(pictures(tmp_path) / "canary-last.png"))
            browser.close()


def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("MESHCOURSE_ARTIFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


ERROR = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error'], .jp-RenderedText[data-mime-type*='error']"

# Cells that are run before the page is connected to an idle kernel are lost. A person is slower than that; this test is not.
CONNECTED = """async () => {
    const answer = await fetch('/api/kernels', {headers: {Accept: 'application/json'}});
    const kernels = answer.ok ? await answer.json() : [];
    return kernels.some(kernel => kernel.execution_state === 'idle' && kernel.connections > 0);
}"""


def run_all(page: Any) -> None:
    """Run > Run All Cells, and wait until the last cell has its number and no other is waiting; JupyterLab stops at an error, so do we."""
    page.wait_for_function(CONNECTED)
    page.wait_for_selector("#jp-main-statusbar :text('| Idle')")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(
        """error => {
            const cells = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
            const last = cells[cells.length - 1];
            const done = cells.length > 20 && /\\[\\d+\\]:/.test(last.textContent);
            return document.querySelector(error) || (done && !cells.some(cell => cell.textContent.includes('[*]')));
        }""",
        arg=ERROR,
        timeout=240_000,
    )
    found = page.locator(ERROR)
    assert found.count() == 0, found.first.inner_text()


def observed(page: Any) -> tuple[float, int]:
    """The share of v2 in percent, and on how many answers it rests."""
    found = OBSERVED.search(page.locator(".mc-observed-v2").inner_text())
    return (float(found[1]), int(found[2].replace(",", ""))) if found else (0.0, 0)


def wait_for_share(page: Any, low: float, high: float, seconds: float) -> tuple[float, int]:
    """Look until at least 100 answers give v2 a share from `low` to `high` percent."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        share, n = observed(page)
        if n >= 100 and low <= share <= high:
            return share, n
        page.wait_for_timeout(100)
    pytest.fail(f"v2 did not come to {low} to {high} % within {seconds} s: {page.locator('.mc-observed-v2').inner_text()}")


def drag(page: Any, version: str, weight: int) -> None:
    """Take the slider's handle with the mouse and move it to `weight`."""
    slider = page.locator(f".mc-weight-{version}")
    slider.scroll_into_view_if_needed()
    handle, track = slider.locator(".noUi-handle").bounding_box(), slider.locator(".noUi-base").bounding_box()
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * weight / 100, handle["y"] + handle["height"] / 2, steps=12)
    page.mouse.up()


def weights(cluster: Any) -> dict[str, int]:
    found = cluster.get("-n", "canary", "virtualservice", "web")["spec"]["http"]
    (split,) = [rule for rule in found if rule["name"] == "split"]
    return {entry["destination"]["subset"]: entry["weight"] for entry in split["route"]}


def test_dragging_the_slider_moves_the_traffic(cluster: Any, jupyter: str, page: Any, tmp_path: Path) -> None:
    page.goto(re.sub(r"/tree/\w+\.ipynb", "/tree/05_canary.ipynb", jupyter))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", state="attached")  # the first may lie below the window
    run_all(page)
    assert page.get_by_text("not attempted").count() >= 2

    page.locator(".mc-start button, button.mc-start").first.click()
    before, _ = wait_for_share(page, 1, 25, 30)
    drag(page, "v2", 50)
    moved = page.locator(".mc-weight-v2 .widget-readout").inner_text()
    assert 48 <= int(moved) <= 52
    share, n = wait_for_share(page, 40, 60, 15)
    page.locator(".mc-weight-panel").scroll_into_view_if_needed()
    page.screenshot(path=str(pictures(tmp_path) / "canary-panel.png"))
    assert share > before
    assert n >= 100
    held = weights(cluster)
    assert held["v2"] == int(moved)
    assert sum(held.values()) == 100
    page.locator(".mc-stop button, button.mc-stop").first.click()
