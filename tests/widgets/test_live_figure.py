"""What a browser gets of a figure: all of it in the first message, and all of it again with each change."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm

from meshcourse.widgets import live_figure

FIGURE: dict[str, Any] = {"data": [{"type": "scatter", "name": "seen", "x": [1], "y": [2]}], "layout": {"height": 321}}


@pytest.fixture
def messages() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What would go to the browser: (kind, state)."""
    sent: list[tuple[str, dict[str, Any]]] = []

    class Line(BaseComm):
        def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
            sent.append((msg_type, dict((data or {}).get("state", {}))))

    before, comm.create_comm = comm.create_comm, Line
    yield sent
    comm.create_comm = before


def test_the_first_message_holds_the_whole_figure_and_names_the_library(messages: list[tuple[str, dict[str, Any]]]) -> None:
    one, other = live_figure.made(FIGURE), live_figure.made(FIGURE)
    state = next(state for kind, state in messages if kind == "comm_open" and "figure" in state)
    assert [trace["name"] for trace in state["figure"]["data"]] == ["seen"]
    assert state["figure"]["layout"]["height"] == 321
    assert state["library"] == f"IPY_MODEL_{one.library.model_id}"
    assert one.library is other.library
    assert b"plotly.js" in gzip.decompress(one.library.packed)[:100]
    assert "plotly.react" in state["_esm"]


def test_each_change_is_one_message_with_all_that_is_held(messages: list[tuple[str, dict[str, Any]]]) -> None:
    widget = live_figure.made(FIGURE)
    for number in (5, 6):
        messages.clear()
        with widget.batch_update():
            widget.data[0].y = [number]
            widget.layout.xaxis.range = [0, number]
        ((kind, state),) = messages
        assert kind == "comm_msg"
        assert state["figure"]["data"][0] == {"type": "scatter", "name": "seen", "x": [1], "y": [number]}
        assert state["figure"]["layout"]["xaxis"]["range"] == [0, number]
        assert state["tick"] == number - 4
        assert "library" not in state


def test_a_click_in_the_browser_is_told_and_a_second_one_on_the_same_point_too(messages: list[tuple[str, dict[str, Any]]]) -> None:
    widget, heard = live_figure.made(FIGURE), list[dict[str, Any]]()
    widget.observe(lambda change: heard.append(change["new"]), names="clicked")
    for count in (1, 2):
        widget.set_state({"clicked": {"trace": "seen", "point": 0, "text": "here", "count": count}})
    assert [each["count"] for each in heard] == [1, 2]
    assert not any("figure" in state for kind, state in messages if kind == "comm_msg"), "a click draws nothing"
