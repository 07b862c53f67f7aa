"""A tenth of the answers, right and wrong, a different one each day, judged on the session's cluster; `make wrong-answers` tries all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wrong_answers import answers, run, stages
from wrong_answers.answers import Answer

from meshcourse.checks.chapters import EXERCISES
from meshcourse.checks.outcome import Verdict

TURN = int(os.environ.get("MESHCOURSE_TENTH", time.time() // 86_400)) % answers.TENTHS
"""Which tenth; MESHCOURSE_TENTH=3 chooses. It is part of each test's name, so that a failure can be tried again."""
LEAST = 10


@pytest.fixture(scope="session")
def stage(cluster: Any) -> Iterator[Callable[[int], stages.Stage]]:
    """A chapter's stage; the one before it is deleted when another chapter's is needed."""
    opened: dict[int, tuple[stages.Stage, contextlib.ExitStack]] = {}

    def of(chapter: int) -> stages.Stage:
        if chapter not in opened:
            close()
            ends = contextlib.ExitStack()
            opened[chapter] = (ends.enter_context(stages.opened(cluster.connection, chapter)), ends)
        return opened[chapter][0]

    def close() -> None:
        for _, ends in opened.values():
            ends.close()
        opened.clear()

    yield of
    close()


def _named(answer: Answer) -> str:
    return f"tenth {TURN}: {answer}"


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("answer", answers.tenth(TURN), ids=_named)
def test_an_answer_is_judged_as_it_should_be_and_gets_the_hint_that_is_meant(stage: Callable[[int], stages.Stage], answer: Answer) -> None:
    result = run.tried(stage(answer.chapter), answer)
    assert not result.trouble, result.trouble
    assert result.passed == (answer.verdict is Verdict.PASSED), result.card
    assert result.meant, f"meant: {answer.hint}\n{result.card}"


def test_every_exercise_has_at_least_ten_wrong_answers() -> None:
    wrong, right = answers.wrong(), answers.right()
    for number in EXERCISES:
        assert sum(each.number == number for each in wrong) >= LEAST, number
        assert any(each.number == number for each in right), number


def test_ten_turns_try_every_answer_once_that_was_tried_before() -> None:
    turns = [each for turn in range(answers.TENTHS) for each in answers.tenth(turn)]
    assert sorted(map(str, turns)) == sorted(str(each) for each in (*answers.wrong(), *answers.right()) if not each.untried)


def test_every_wrong_answer_says_which_hint_it_must_get() -> None:
    for each in answers.wrong():
        assert each.hint or each.verdict is Verdict.NOT_ATTEMPTED or each.refused, each


def test_no_two_answers_to_one_exercise_are_called_the_same() -> None:
    names = [str(each) for each in (*answers.wrong(), *answers.right())]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
