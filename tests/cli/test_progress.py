"""`meshcourse progress` as a learner types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from meshcourse.course import passed

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """5.1 has passed; the file is where the fixture `meshcourse` keeps its state."""
    path = tmp_path / "state" / "progress.json"
    passed.note_opened("05-canary", path)
    passed.note_passed("5.1", path)
    return path


def test_table_shows_chapters_dates_and_what_is_next(meshcourse: Run, record: Path) -> None:
    shown = meshcourse("progress").stdout
    at = passed.read(record).passed["5.1"].astimezone()
    assert f"5.1 ✔ {at:%Y-%m-%d}" in shown
    assert "5.2 ○" in shown
    assert "next: chapter 0, Start here" in shown
    assert "60 min" in shown


def test_one_chapter_alone_can_be_asked_for(meshcourse: Run, record: Path) -> None:
    shown = meshcourse("progress", "5").stdout
    assert "Canary releases" in shown
    assert "Timeouts" not in shown


def test_json_is_for_programs(meshcourse: Run, record: Path) -> None:
    found = json.loads(meshcourse("progress", "--json").stdout)
    (canary,) = [each for each in found["chapters"] if each["key"] == "05-canary"]
    assert found["passed"] == 1
    assert canary["exercises"]["5.1"] == passed.read(record).passed["5.1"].isoformat()
    assert canary["exercises"]["5.2"] is None


def test_reset_forgets_one_exercise_a_chapter_or_everything(meshcourse: Run, record: Path) -> None:
    passed.note_passed("5.2", record)
    assert "forgotten: 5.1" in meshcourse("progress", "--reset", "5.1", "--yes").stderr
    assert list(passed.read(record).passed) == ["5.2"]
    assert "forgotten: 5.2" in meshcourse("progress", "--reset", "05-canary", "--yes").stderr
    assert passed.read(record) == passed.Record()
    passed.note_passed("5.1", record)
    assert meshcourse("progress", "--reset", "--yes").returncode == 0
    assert passed.read(record).passed == {}
    assert "nothing to forget" in meshcourse("progress", "--reset", "--yes").stderr


def test_reset_asks_first(meshcourse: Run, record: Path) -> None:
    asked = meshcourse("progress", "--reset")
    assert asked.returncode == 1
    assert "Forget 5.1?" in asked.stdout
    assert "5.1" in passed.read(record).passed


def test_unknown_name_is_an_error_that_lists_the_chapters(meshcourse: Run, record: Path) -> None:
    ended = meshcourse("progress", "--reset", "5.99")
    assert ended.returncode == 1
    assert "05-canary" in ended.stderr
    assert "5.1" in passed.read(record).passed


def test_broken_file_is_said_and_not_fatal(meshcourse: Run, record: Path) -> None:
    record.write_text("{")
    ended = meshcourse("progress")
    assert ended.returncode == 0
    assert "progress.broken-" in ended.stderr.replace("\n", "")
