"""The learner's copies: made, updated while untouched, never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.jupyterlab import workbook


@pytest.fixture
def course(tmp_path: Path) -> Path:
    folder = tmp_path / "course"
    (folder / "manifests" / "05_canary").mkdir(parents=True)
    (folder / "pictures").mkdir()
    (folder / "source" / "pictures").mkdir(parents=True)
    (folder / "05_canary.ipynb").write_text("version 1")
    (folder / "manifests" / "05_canary" / "web.yaml").write_text("a: 1")
    (folder / "pictures" / "05_canary.svg").write_text("<svg/>")
    (folder / "source" / "pictures" / "05_canary.yaml").write_text("title: for authors")
    (folder / "source" / "05_canary.py").write_text("# for authors")
    return folder


def test_first_use_copies_notebooks_manifests_and_pictures_but_no_sources(course: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    workbook.lay(course, own)
    assert sorted(path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file()) == [
        ".meshcourse.json",
        "05_canary.ipynb",
        "manifests/05_canary/web.yaml",
        "pictures/05_canary.svg",
    ]


def test_an_untouched_notebook_is_updated_with_the_course(course: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    workbook.lay(course, own)
    (course / "05_canary.ipynb").write_text("version 2")
    assert "05_canary.ipynb is updated" in workbook.lay(course, own)
    assert (own / "05_canary.ipynb").read_text() == "version 2"


def test_a_learners_work_is_never_overwritten_and_the_new_notebook_lies_beside_it(course: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    workbook.lay(course, own)
    (own / "05_canary.ipynb").write_text("version 1 and my answers")
    assert len(workbook.lay(course, own)) == 1
    (course / "05_canary.ipynb").write_text("version 2")
    first = workbook.lay(course, own)
    second = workbook.lay(course, own)
    assert any("05_canary.new.ipynb" in line for line in first)
    assert len(second) == 1
    assert (own / "05_canary.ipynb").read_text() == "version 1 and my answers"
    assert (own / "05_canary.new.ipynb").read_text() == "version 2"


def test_the_courses_own_folder_is_left_alone(course: Path) -> None:
    assert workbook.lay(course, course) == ()
    assert not (course / ".meshcourse.json").exists()
