"""Operates a panel by keyboard, and reads its figure. Each function waits for what it needs, and fails by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest


def data(panel: Any) -> list[dict[str, Any]]:
    """The traces as the page has them: name, x, y."""
    found: list[dict[str, Any]] = panel.locator(".js-plotly-plot").first.evaluate(
        """gd => (gd._fullData || gd.data).map(trace => ({
            name: trace.name, x: Array.from(trace.x || []), y: Array.from(trace.y || []), text: [].concat(trace.text || [])}))"""
    )
    return found


def trace(panel: Any, name: str, *, number: int = 0) -> dict[str, Any]:
    return [each for each in data(panel) if each["name"] == name][number]


def until(page: Any, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Poll until it holds."""
    for _ in range(round(seconds * 5)):
        if found := condition():
            return found
        page.wait_for_timeout(200)
    pytest.fail(f"within {seconds:g} s there came no {what}")


def focus(panel: Any, part: str) -> None:
    """Move the focus to a part of the panel by Tab, from its cell on."""
    wanted, keyboard = panel.locator(part).first, panel.page.keyboard
    until(panel.page, wanted.is_enabled, f"{part} that can be used")
    panel.evaluate("panel => panel.closest('.jp-Cell').focus()")
    for _ in range(60):
        keyboard.press("Tab")
        if wanted.evaluate("part => part === document.activeElement"):
            return
    pytest.fail(f"Tab does not come to {part}")


def press(panel: Any, name: str, key: str, times: int = 1) -> None:
    """Move a slider by keyboard alone."""
    focus(panel, f".{name} .noUi-handle")
    for _ in range(times):
        panel.page.keyboard.press(key)


def push(panel: Any, part: str, key: str = "Enter") -> None:
    """Press a button by keyboard alone."""
    focus(panel, part)
    panel.page.keyboard.press(key)


def click(panel: Any, name: str, text: str) -> None:
    """Rest the pointer on the point of the figure's last trace, called `name`, at which `text` stands, and click it when its label shows.

    plotly.js looks for the point under the pointer once in 50 ms: a click in the same moment as the move would be the last point's.
    """
    number = trace(panel, name)["text"].index(text)
    panel.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    place = panel.locator(".scatterlayer .trace").last.locator(".point").nth(number).bounding_box()
    spot = (place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    panel.page.mouse.move(*spot)
    until(panel.page, lambda: text in "".join(panel.locator(".hoverlayer .hovertext").all_text_contents()), f"label of {text}")
    panel.page.mouse.click(*spot)


def readout(panel: Any, name: str) -> str:
    return str(panel.locator(f".{name} .widget-readout").first.inner_text())


def tick(panel: Any) -> int:
    """The number of the last change of its figure that the page has drawn."""
    return int(panel.locator(".js-plotly-plot").first.get_attribute("data-tick") or 0)


def moves_on(panel: Any) -> None:
    before = tick(panel)
    until(panel.page, lambda: tick(panel) >= before + 3, "figure that moves on")


@contextlib.contextmanager
def unerring(page: Any) -> Iterator[None]:
    """Fail when the page itself makes an error meanwhile. Notebook 7 makes some while it puts itself together."""
    wrong: list[str] = []

    def hear(error: Any) -> None:
        wrong.append(str(error))

    page.on("pageerror", hear)
    yield
    page.remove_listener("pageerror", hear)
    assert not wrong
