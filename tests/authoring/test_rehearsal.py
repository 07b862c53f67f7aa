"""What a rehearsal plans and keeps, and when it executes again. tests/notebooks tests the execution itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshcourse.authoring import clusters, rehearsal
from meshcourse.authoring.transcript import Reading, Variant
from meshcourse.core import errors

COURSE = Path(__file__).parents[2] / "notebooks"
SECOND_TIME_LUCKY = """# %%
from meshcourse import lab

lab.chapter("00-start")

# %%
with open({mark!r}, "a+") as mark:
    mark.seek(0)
    times = len(mark.read())
    mark.write("x")
assert times > 0
"""


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


@pytest.mark.cluster
@pytest.mark.slow
def test_only_what_went_wrong_is_executed_again(cluster: Any, tmp_path: Path) -> None:
    course, mark = tmp_path / "course", tmp_path / "mark"
    (course / "source").mkdir(parents=True)
    (course / "source" / "00_start.py").write_text(SECOND_TIME_LUCKY.format(mark=str(mark)), encoding="utf-8")
    stage = rehearsal.Rehearsal(course, tmp_path / "out", [clusters.Place(cluster.connection, cluster.environment)])
    try:
        first, second, third = (stage.submit("00_start", Variant.UNTOUCHED).result(timeout=120) for _ in range(3))
    finally:
        stage.close()
    assert "AssertionError" in "".join(first.complaints)
    assert second.complaints == ()
    assert third is second
    assert mark.read_text() == "xx"
