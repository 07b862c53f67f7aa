"""The glossary: each link in a notebook leads to an entry, and for a misspelt word similar ones are shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshcourse.core import errors
from meshcourse.lab import glossary

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WORDS = glossary.entries((NOTEBOOKS / glossary.FILE).read_text(encoding="utf-8"))


def test_each_link_to_a_word_leads_to_one() -> None:
    places = {word.replace(" ", "-") for word in WORDS}
    linked = {
        each for path in NOTEBOOKS.glob("*.ipynb") for each in re.findall(r"\]\(words\.md#([^)]+)\)", path.read_text(encoding="utf-8"))
    }
    assert len(linked) > 10
    assert linked <= places


@pytest.mark.parametrize("asked", ["subset", "Subset", "subsets", "mutual tls", "MutualTLS", "virtualservice", "UO"])
def test_a_word_is_found_however_it_is_written(asked: str) -> None:
    shown = glossary.word(asked).data
    assert shown.startswith("**")
    assert len(shown) > 40


def test_a_misspelt_word_is_answered_with_those_that_are_like_it() -> None:
    with pytest.raises(errors.CourseError) as caught:
        glossary.word("destinatonrule")
    assert "DestinationRule" in caught.value.why
    assert caught.value.next == 'lab.word("DestinationRule")'
    with pytest.raises(errors.CourseError):
        glossary.word("???")


def test_without_a_word_all_are_listed() -> None:
    assert "subset" in glossary.word().data
    assert len(WORDS) > 60


def test_no_meaning_is_long() -> None:
    assert {word: len(meaning) for word, meaning in WORDS.items() if len(meaning) > 320} == {}
