"""The way through the chapters: marks, the line at a notebook's head, and what is next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from meshcourse.core import errors
from meshcourse.course import chapters, progress
from meshcourse.course.passed import Record

AT = datetime(2026, 1, 2, tzinfo=UTC)
NUMBERS = ("4.1", "5.1", "5.2", "5.3")


def of(*passed: str, opened: tuple[str, ...] = ()) -> progress.Overview:
    return progress.of(Record(dict.fromkeys(passed, AT), dict.fromkeys(opened, AT)), NUMBERS)


def test_headline_tells_the_whole_and_this_chapter() -> None:
    assert of("4.1", "5.1").headline("05-canary") == "your progress: 2 of 4 exercises; this chapter: 1 of 3 (5.1 ✔  5.2 ○  5.3 ○)"
    assert of().headline("00-start") == "your progress: 0 of 4 exercises; this chapter has none"


def test_mark_of_an_exercise_that_is_no_more_does_not_count() -> None:
    assert of("5.9").passed == 0


def test_chapter_is_done_when_all_is_passed_or_opened_where_there_is_nothing_to_pass() -> None:
    found = of("5.1", "4.1", opened=("00-start", "06-circuit-breaking"))
    marks = {row.chapter.key: row.mark for row in found.rows}
    assert marks["04-bookinfo"] == progress.DONE
    assert marks["05-canary"] == progress.BEGUN
    assert marks["00-start"] == progress.DONE
    assert marks["01-components"] == progress.OPEN


def test_next_is_the_first_chapter_that_is_not_done() -> None:
    opened = tuple(key for key in chapters.CHAPTERS if key not in {"04-bookinfo", "05-canary"})
    following = of("4.1", opened=opened).next
    assert following is not None
    assert following.chapter.key == "05-canary"
    everything = of(*NUMBERS, opened=opened)
    assert everything.next is None
    assert "the whole course" in everything.closing()


def test_map_shows_every_chapter_as_text_and_as_page() -> None:
    found = of("5.1")
    for chapter in chapters.CHAPTERS.values():
        assert chapter.title in repr(found)
        assert f'href="{chapter.stem}.ipynb"' in found._repr_html_()
    assert "5.1 ✔  5.2 ○" in repr(found)


@pytest.mark.parametrize("word", ["5", "05", "05-canary", "05_canary", "05_canary.ipynb"])
def test_a_chapter_has_several_names(word: str) -> None:
    row, number = progress.named(word, of())
    assert (row.chapter.key, number) == ("05-canary", "")


def test_an_exercise_is_named_by_its_number_and_nothing_else_is_known() -> None:
    assert progress.named("5.2", of())[1] == "5.2"
    with pytest.raises(errors.CourseError, match=r"5\.9"):
        progress.named("5.9", of())
