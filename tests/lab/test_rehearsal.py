"""What a rehearsal lays out and keeps. That it executes chapters is shown in tests/notebooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshcourse.core import errors
from meshcourse.lab import rehearsal
from meshcourse.lab.executed import Reading, Variant

COURSE = Path(__file__).parents[2] / "notebooks"


def run(*complaints: str, variant: Variant = Variant.SOLVED) -> rehearsal.Run:
    return rehearsal.Run(
        "05_canary",
        variant,
        Path("05_canary.done.ipynb"),
        Reading({"5.1": "passed", "5.2": "passed"}, 40.0, 3.0, 4.5, ()),
        50.0,
        complaints,
    )


def test_folder_is_laid_out_as_a_learner_has_it(tmp_path: Path) -> None:
    rehearsal.lay_out(COURSE, tmp_path)
    for name in rehearsal.FOLDERS:
        assert sorted(each.name for each in (tmp_path / name).iterdir()) == sorted(each.name for each in (COURSE / name).iterdir())


def test_table_is_kept_for_people_and_programs(tmp_path: Path) -> None:
    data, text = rehearsal.keep([run(), run("its clean-up leaves Service x/y", variant=Variant.UNTOUCHED)], tmp_path, wall=93.0)
    lines = text.read_text().splitlines()
    assert lines[0].split()[:3] == ["notebook", "variant", "s"]
    assert lines[1].split() == ["05_canary", "solved", "40.0", "3.0", "4.5", "50.0", "2", "passed", "ok"]
    assert "1 complaint" in lines[2]
    assert lines[-1] == "180 s of notebooks in 93 s"
    kept = json.loads(data.read_text())
    assert kept["runs"][1]["complaints"] == ["its clean-up leaves Service x/y"]
    assert kept["wall"] == 93.0


def test_file_name_of_a_chapter_finds_it() -> None:
    assert rehearsal.of("05_canary").key == "05-canary"
    with pytest.raises(errors.CourseError):
        rehearsal.of("55_nothing")
