"""A panel as a still: its text, its controls' values, its figure, nothing live."""

from __future__ import annotations

import json
from typing import Any

import ipywidgets
import plotly.graph_objects as go
import pytest

from meshcourse.lab import stills
from meshcourse.widgets import live_figure


@pytest.fixture
def shown() -> list[Any]:
    slider = ipywidgets.IntSlider(value=30, description="v2 <")
    figure = live_figure.made(go.Figure([go.Scatter(x=[0, 1], y=[1, 2], name="observed")]))
    box = ipywidgets.VBox([ipywidgets.HBox([slider, ipywidgets.HTML("<i>30 %</i>")]), ipywidgets.Button(description="Start"), figure])
    return list(stills.bundles(box))


def test_words_and_values_are_kept_as_text(shown: list[Any]) -> None:
    page = shown[0]["text/html"]
    assert "v2 &lt;: <b>30</b>" in page
    assert "<i>30 %</i>" in page
    assert "Start" not in page


def test_figure_is_kept_as_plain_json_and_named_in_text(shown: list[Any]) -> None:
    figure = shown[1][stills.PLOTLY]
    assert json.loads(json.dumps(figure))["data"][0]["y"] == [1, 2]
    assert shown[1]["text/plain"] == "figure: observed"
