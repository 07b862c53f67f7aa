"""lab.answer: what counts as an answer, and what a check gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcourse.core.errors import CourseError
from meshcourse.kube.connection import Connection
from meshcourse.lab import answers
from meshcourse.lab.cluster_view import LiveClusterView

WITNESS = LiveClusterView(Connection(Path("absent"), "http://127.0.0.1:1"), "start")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    answers.answer("0.2")


@pytest.mark.parametrize("nothing", [..., None, "", "  "])
def test_untouched_cell_is_no_answer_and_takes_an_earlier_one_back(nothing: object) -> None:
    answers.answer("0.2", "something")
    assert "no answer" in repr(answers.answer("0.2", nothing))
    assert WITNESS.answer("0.2") == ""


@pytest.mark.parametrize(("given", "text"), [(4, "4"), (0, "0"), (" minimal\n", "minimal")])
def test_number_or_text_is_told_to_the_check(given: object, text: str) -> None:
    assert 'lab.check("0.2")' in repr(answers.answer("0.2", given))
    assert WITNESS.answer("0.2") == text


def test_number_of_an_exercise_may_be_given_without_quotes() -> None:
    answers.answer(0.2, "hello")
    assert WITNESS.answer("0.2") == "hello"


def test_exercise_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(CourseError, match=r"no exercise '9\.99'"):
        answers.answer("9.99", 1)
