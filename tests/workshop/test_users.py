"""Who gets a place: names in any script, none twice, the same place at the next start."""

from __future__ import annotations

import pytest

from meshcourse.core.errors import CourseError
from meshcourse.workshop import users


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("Ada", "ada"),
        ("Ada Lovelace", "ada-lovelace"),
        ("  Zoë  Müller ", "zoe-muller"),
        ("王小明", "learner-01"),
        ("../etc", "etc"),
        ("4711", "l-4711"),
        ("instructor", "instructor-2"),
        ("=HYPERLINK()", "hyperlink"),
    ],
)
def test_an_account_is_made_of_a_name_in_any_script(name: str, account: str) -> None:
    (place,) = users.make([name])
    assert place.account == account
    assert users.find([place], name.upper()) == place
    assert users.find([place], account) == place


def test_names_that_would_have_the_same_account_get_two() -> None:
    assert [each.account for each in users.make(["Zoë", "Zoe", "李", "张"])] == ["zoe", "zoe-2", "learner-03", "learner-04"]


def test_two_learners_of_one_name_are_refused_with_both_positions() -> None:
    with pytest.raises(CourseError) as caught:
        users.make(["Ada", "Bo", "ADA "])
    assert "names 1 and 3" in caught.value.why


@pytest.mark.parametrize("name", ["", "  ", "\u200b"])
def test_an_empty_name_is_refused(name: str) -> None:
    with pytest.raises(CourseError, match="empty"):
        users.make([name])


def test_a_learner_who_comes_later_changes_nobody_elses_place() -> None:
    before = users.make(["Ada", "Bo"])
    after = users.make(["Cy"], before)
    assert after[:2] == before
    assert after[2].number == 3
    assert users.make(["ada"], before) == before


def test_every_code_is_another_one() -> None:
    found = users.make(users.numbered(100))
    assert len({each.code for each in found}) == 100
    assert not set("il01o") & set("".join(each.code for each in found))


def test_a_file_of_names_may_have_empty_lines_and_remarks() -> None:
    text = "# class of today\nAda\n\n 王小明 \n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert users.read(text.encode(encoding)) == ["Ada", "王小明"]


def test_a_file_of_names_in_another_encoding_is_refused_with_the_line() -> None:
    with pytest.raises(CourseError, match="Line 2"):
        users.read("Ada\nZoë\n".encode("latin-1"))
