"""Chapter 5 as a learner sees it: a real Chromium opens it in a real JupyterLab, runs every cell, and moves real traffic with the mouse."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster, pytest.mark.slow]

OBSERVED = re.compile(r"observed ([\d.]+) % \(n=([\d,]+)\)")


@pytest.fixture
def jupyter(cluster: Any, serve: Callable[..., AbstractContextManager[str]], tmp_path: Path) -> Iterator[str]:
    """The URL that `meshcourse lab` prints, serving a learner's fresh copy."""
    cluster.kubectl("delete", "namespace", "canary", "--ignore-not-found", timeout=120)
    try:
        with serve(cluster, tmp_path / "own") as url:
            yield url
    finally:
        cluster.kubectl("delete", "namespace", "canary", "--ignore-not-found", timeout=120)


PANEL = ".mc-weight-panel"
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


def of_panel(page: Any, part: str) -> Any:
    """A part of the chapter's first weight panel; the rollout panel below it has one inside too."""
    return page.locator(PANEL).first.locator(part).first


def observed(page: Any) -> tuple[float, int]:
    """The share of v2 in percent, and the number of answers behind it."""
    found = OBSERVED.search(of_panel(page, ".mc-observed-v2").inner_text())
    return (float(found[1]), int(found[2].replace(",", ""))) if found else (0.0, 0)


def wait_for_share(page: Any, low: float, high: float, seconds: float) -> tuple[float, int]:
    """Poll until at least 100 answers give v2 a share from `low` to `high` percent."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        share, n = observed(page)
        if n >= 100 and low <= share <= high:
            return share, n
        page.wait_for_timeout(100)
    pytest.fail(f"v2 did not come to {low} to {high} % within {seconds} s: {of_panel(page, '.mc-observed-v2').inner_text()}")


def drag(page: Any, version: str, weight: int) -> None:
    """Drag the slider's handle with the mouse to `weight`."""
    slider = of_panel(page, f".mc-weight-{version}")
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


def test_dragging_the_slider_moves_the_traffic(cluster: Any, jupyter: str, page: Any, artifacts: Path) -> None:
    page.goto(re.sub(r"/tree/\w+\.ipynb", "/tree/05_canary.ipynb", jupyter))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", state="attached")  # the first may lie below the window
    run_all(page)
    assert page.get_by_text("not attempted").count() >= 2

    of_panel(page, "button.mc-start, .mc-start button").click()
    before, _ = wait_for_share(page, 1, 25, 30)
    drag(page, "v2", 50)
    moved = of_panel(page, ".mc-weight-v2 .widget-readout").inner_text()
    assert 48 <= int(moved) <= 52
    share, n = wait_for_share(page, 40, 60, 15)
    page.locator(PANEL).first.scroll_into_view_if_needed()
    page.screenshot(path=str(artifacts / "canary-panel.png"))
    assert share > before
    assert n >= 100
    held = weights(cluster)
    assert held["v2"] == int(moved)
    assert sum(held.values()) == 100
    of_panel(page, "button.mc-stop, .mc-stop button").click()
