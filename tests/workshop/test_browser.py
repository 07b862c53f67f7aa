"""A learner and the instructor before a hub under a prefix, each in a real Chromium."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest
from playwright.sync_api import expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("MESHCOURSE_WORKSHOP_BROWSER"), reason="`make workshop` runs it"),
]
ADA = "Ada Lovelace"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = browsing.chromium()
    if found is None:
        pytest.skip("there is no Chromium on PATH; install one: sudo apt install chromium")
    with browsing.opened(found, tmp_path_factory.mktemp("pictures") / "workshop-last.png") as opened:
        learners = opened.context.browser.new_context(viewport=browsing.WIDE).new_page()
        learners.set_default_timeout(120_000)
        learners.complaints = []
        learners.on("console", lambda each: learners.complaints.append(each.text) if each.type == "error" else None)
        try:
            yield learners
        finally:
            learners.screenshot(path=str(tmp_path_factory.getbasetemp() / "learner-last.png"))


def log_in(page: Any, classroom: Any, place: Any) -> None:
    page.goto(f"{classroom.workshop.url}hub/login")
    if "/hub/login" not in page.url:  # logged in already: the test is run again
        return
    page.fill("input[name=username]", place.name)
    page.fill("input[name=password]", place.code)
    page.click("input[type=submit]")


def test_every_link_works_under_the_prefix_and_the_boards_message_appears(classroom: Any, page: Any) -> None:
    (place, *_) = classroom.workshop.learners
    log_in(page, classroom, place)
    page.wait_for_url("**/lab/tree/00_start.ipynb*", timeout=240_000)
    assert "/class/user/ada-lovelace/" in page.url
    assert page.get_by_text("Would you like to get notified about official Jupyter news?").count() == 0

    page.goto(f"{classroom.workshop.url}user/{place.account}/lab/tree/04_bookinfo.ipynb")
    link = page.locator(f'a[href*="/class/user/{place.account}/gateway/productpage"]').first
    link.wait_for(timeout=120_000)
    cells = page.locator(browsing.CELLS)
    page.keyboard.press("Escape")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(f'.jp-OutputArea a[href="/class/user/{place.account}/gateway/"]').first.wait_for(timeout=120_000)
    assert cells.count() > 0
    shop = page.context.new_page()
    shop.set_default_timeout(60_000)
    for _ in range(60):
        shop.goto(f"{classroom.workshop.url}user/{place.account}/gateway/productpage")
        if shop.get_by_text("The Comedy of Errors").count():
            break
        shop.wait_for_timeout(1000)
    expect(shop.get_by_text("The Comedy of Errors").first).to_be_visible()
    assert shop.evaluate("() => getComputedStyle(document.body).fontFamily").lower().count("sans") > 0
    shop.fill("input[name=username]", "jason")
    shop.get_by_role("button", name="Sign in").click()
    shop.get_by_text("jason").wait_for()
    assert f"/class/user/{place.account}/gateway/productpage" in shop.url
    shop.close()


def test_a_panel_draws_through_the_hub(classroom: Any, page: Any) -> None:
    page.locator(".mc-panel .main-svg >> nth=0").wait_for(state="attached", timeout=180_000)
    refused = [each for each in page.complaints if "404" in each or "403" in each or "WebSocket" in each]
    assert not refused


def test_the_instructors_board_shows_the_learner_and_sends_a_message(classroom: Any, page: Any) -> None:
    browser = page.context.browser
    board = browser.new_context().new_page()
    board.set_default_timeout(60_000)
    log_in(board, classroom, classroom.workshop.instructor)
    board.wait_for_url("**/services/board/", timeout=60_000)
    row = board.locator("tr", has_text=ADA)
    expect(row).to_contain_text("04-bookinfo", timeout=20_000)
    expect(row).to_contain_text("runs")
    board.fill("#text", "Break at eleven")
    board.get_by_role("button", name="Send").click()
    expect(board.locator("#said")).to_contain_text("Done for 1", timeout=20_000)
    page.get_by_text("Break at eleven").first.wait_for(timeout=60_000)
    board.get_by_text("Plan of the day").click()
    board.fill("#plan", "0:00 one request (chapter 0)\n0:20 break")
    board.get_by_role("button", name="Start now").click()
    expect(board.locator("#now")).to_have_text("one request (chapter 0): 20 min left", timeout=10_000)
    board.get_by_role("button", name="5 minutes later").click()
    expect(board.locator("#now")).to_have_text("", timeout=10_000)
    board.on("dialog", lambda each: each.accept())
    board.select_option("#chapter", "05-canary")
    board.get_by_role("button", name="Begin this chapter").click()
    expect(board.locator("#said")).to_contain_text("Done for 1", timeout=180_000)
    page.locator(".lm-TabBar-tab.lm-mod-current", has_text="05_canary.ipynb").wait_for(timeout=20_000)
    board.get_by_role("button", name="Reset it").click()
    expect(board.locator("#said")).to_contain_text("Done for 1", timeout=180_000)
    page.get_by_text("The instructor has reset chapter 5").first.wait_for(timeout=60_000)
    board.screenshot(path=str(Path(classroom.folder).parent / "board.png"))
    board.context.close()


def test_a_learners_notebook_is_read_on_the_board_and_its_scripts_do_nothing(classroom: Any, page: Any) -> None:
    (place, *_) = classroom.workshop.learners
    path = classroom.folder / "learners" / place.account / "state" / "notebooks" / "evil.ipynb"
    script = 'document.title = "ran"; fetch("../../message", {method: "POST", body: "{}"})'
    content = f"<b>Visible</b><script>{script}</script><img src=x onerror='{script}'>"
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": [content]}}
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [content]},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": ["1"], "execution_count": 1, "outputs": [output]},
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    board = page.context.browser.new_context().new_page()
    board.set_default_timeout(120_000)
    asked: list[str] = []
    log_in(board, classroom, classroom.workshop.instructor)
    board.wait_for_url("**/services/board/", timeout=60_000)
    board.locator("tr", has_text=ADA).get_by_role("link", name="notebooks").click()
    board.on("request", lambda each: asked.append(each.url))
    board.get_by_role("link", name="evil.ipynb").click()
    expect(board.get_by_text("Visible").first).to_be_visible(timeout=120_000)
    assert board.title() == "evil"
    assert [url for url in asked if "evil.ipynb" not in url and not url.startswith("data:")] == []
    board.context.close()
