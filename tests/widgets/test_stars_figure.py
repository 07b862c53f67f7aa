"""Golden figure of the stars."""

from __future__ import annotations

import golden
import plotly.graph_objects as go
import pytest

from meshcourse.widgets.figures import stars as picture

SEEN = {"stars_mixed": ("none", "red", "black", "red", "503", "none"), "stars_none": ()}


@pytest.mark.parametrize("name", SEEN)
def test_the_figure_is_as_reviewed(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(SEEN[name]))


def test_plotly_takes_the_figure_and_each_answer_is_one_mark() -> None:
    made = go.Figure(picture.figure(SEEN["stars_mixed"]))
    marks = {trace.name: tuple(trace.x) for trace in made.data if trace.type == "scatter"}
    assert marks == {"503": (5,), "red": (2, 4), "black": (3,), "none": (1, 6)}
