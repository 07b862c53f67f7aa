"""What a browser learns of a figure in the first message, the only one that it is sure to get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comm
import plotly.graph_objects as go
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


def first_of_a_figure(sent: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return next(state for kind, state in sent if kind == "comm_open" and "_widget_data" in state)


def test_the_first_message_holds_the_whole_figure(messages: list[tuple[str, dict[str, Any]]]) -> None:
    widget = live_figure.made(FIGURE)
    state = first_of_a_figure(messages)
    assert [trace["name"] for trace in state["_widget_data"]] == ["seen"]
    assert state["_widget_layout"]["height"] == 321
    assert isinstance(widget, go.FigureWidget)


def test_later_changes_are_sent_as_ever(messages: list[tuple[str, dict[str, Any]]]) -> None:
    widget = live_figure.made(FIGURE)
    messages.clear()
    with widget.batch_update():
        widget.data[0].y = [5]
    assert [kind for kind, state in messages if state.get("_py2js_update")] == ["comm_msg"]


def test_plotly_still_needs_the_help(messages: list[tuple[str, dict[str, Any]]]) -> None:
    """When this fails, plotly tells the browser everything at once, and live_figure can go."""
    go.FigureWidget(FIGURE)
    assert first_of_a_figure(messages)["_widget_data"] == []
