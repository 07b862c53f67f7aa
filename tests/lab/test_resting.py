"""Checks that count arriving requests, while a panel sends load of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcourse.checks import chapters
from meshcourse.kube.connection import Connection
from meshcourse.lab import panels
from meshcourse.widgets.panels.objectives import ObjectivePanel

CHECKS = Path(chapters.__file__).parent


@pytest.fixture
def board() -> Iterator[ObjectivePanel]:
    """The capstone's panel with a port that nothing listens on: its load runs nevertheless."""
    made = ObjectivePanel(Connection(Path("absent"), "http://127.0.0.1:9"), namespace="capstone", host="shop.example.com", labels={})
    panels._made.append(made)
    yield made
    panels._made.remove(made)
    made.close()


def test_load_of_panels_pauses_and_continues(board: ObjectivePanel, capsys: pytest.CaptureFixture[str]) -> None:
    board.start()
    with contextlib.suppress(KeyboardInterrupt), panels.resting():
        assert not board.running
        raise KeyboardInterrupt
    assert board.running
    assert "pauses" in capsys.readouterr().out


def test_what_rests_already_is_left_alone(board: ObjectivePanel, capsys: pytest.CaptureFixture[str]) -> None:
    with panels.resting():
        pass
    assert not board.running
    assert not capsys.readouterr().out


def test_every_check_that_counts_arrivals_says_so() -> None:
    counting = {number for number, exercise in chapters.EXERCISES.items() if exercise.counts}
    assert counting == {"8.2", "8.3", "10.2"}
    files = {path.stem[2:4] for path in CHECKS.glob("ch*.py") if "before = _arrived(" in path.read_text(encoding="utf-8")}
    assert files == {number.partition(".")[0].zfill(2) for number in counting}
