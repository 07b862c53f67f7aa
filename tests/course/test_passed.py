"""A learner's passed exercises: stored once, and never lost to a second kernel, a broken file or a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshcourse.core import errors, paths
from meshcourse.course import passed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "progress.json"


def test_nothing_is_passed_at_first(path: Path) -> None:
    assert passed.read(path) == passed.Record()
    assert not path.exists()


def test_a_mark_stays_and_the_first_time_counts(path: Path) -> None:
    first = passed.note_passed("5.1", path).passed["5.1"]
    path.write_text(path.read_text().replace(first.isoformat(), "2020-01-02T03:04:05+00:00"))
    assert passed.note_passed("5.1", path).passed["5.1"].year == 2020
    assert passed.note_opened("05-canary", path).passed == passed.read(path).passed
    assert list(passed.read(path).opened) == ["05-canary"]


def test_forgetting_takes_away_what_is_named_and_no_more(path: Path) -> None:
    for number in ("5.1", "5.2", "6.1"):
        passed.note_passed(number, path)
    passed.note_opened("05-canary", path)
    passed.forget(frozenset({"5.1"}), frozenset(), path)
    assert list(passed.read(path).passed) == ["5.2", "6.1"]
    passed.forget(frozenset({"5.2"}), frozenset({"05-canary"}), path)
    assert list(passed.read(path).passed) == ["6.1"]
    assert passed.read(path).opened == {}


def test_two_kernels_at_once_lose_no_mark(path: Path) -> None:
    """Separate processes, eight marks each, all into the same file."""
    code = "import sys; from pathlib import Path; from meshcourse.course import passed\n"
    code += "for n in range(8): passed.note_passed(f'{sys.argv[1]}.{n}', Path(sys.argv[2]))"

    def kernel(number: int) -> None:
        subprocess.run([sys.executable, "-c", code, str(number), str(path)], check=True, timeout=60)

    with ThreadPoolExecutor() as pool:
        list(pool.map(kernel, range(3)))
    assert len(passed.read(path).passed) == 24
    assert sorted(each.name for each in path.parent.iterdir()) == ["progress.json", "progress.lock"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"passed": {}}', '{"passed": {"5.1": "yesterday"}, "opened": {}}', '{"passed": 1, "opened": {}}']
)
def test_broken_file_is_set_aside_with_a_word_and_the_mark_is_kept(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    found = passed.note_passed("5.1", path)
    assert "5.1" in found.passed
    (aside,) = path.parent.glob("progress.broken-*.json")
    assert aside.read_text() == content
    assert str(aside) in found.complaint
    assert passed.read(path).complaint == ""
    assert list(json.loads(path.read_text())["passed"]) == ["5.1"]


def test_folder_that_cannot_be_used_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder belongs")
    with pytest.raises(errors.CourseError) as caught:
        passed.note_passed("5.1", tmp_path / "state" / "progress.json")
    assert str(tmp_path) in caught.value.why


def test_record_lies_in_the_state_folder_or_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path))
    monkeypatch.delenv("MESHCOURSE_PROGRESS", raising=False)
    assert paths.progress() == tmp_path / "progress.json"
    monkeypatch.setenv("MESHCOURSE_PROGRESS", str(tmp_path / "run.json"))
    assert paths.progress() == tmp_path / "run.json"
