"""Golden figure of the stars. After a wanted change: MESHCOURSE_GOLDEN=write pytest THIS FILE, then read the diff."""

from __future__ import annotations

import json
import os
from pathlib import Path

import plotly.graph_objects as go
import pytest

from meshcourse.widgets.figures import stars as picture

GOLDEN = Path(__file__).parent / "golden"
SEEN = {"stars_mixed": ("none", "red", "black", "red", "503", "none"), "stars_none": ()}


@pytest.mark.parametrize("name", SEEN)
def test_the_figure_is_as_reviewed(name: str) -> None:
    path = GOLDEN / f"{name}.json"
    made = json.dumps(picture.figure(SEEN[name]), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("MESHCOURSE_GOLDEN") == "write":
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def test_plotly_takes_the_figure_and_each_answer_is_one_mark() -> None:
    made = go.Figure(picture.figure(SEEN["stars_mixed"]))
    marks = {trace.name: tuple(trace.x) for trace in made.data if trace.type == "scatter"}
    assert marks == {"503": (5,), "red": (2, 4), "black": (3,), "none": (1, 6)}
