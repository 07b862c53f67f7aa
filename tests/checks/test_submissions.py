"""Which answer was judged: a refused answer is always mentioned."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from meshcourse.checks import outcome, submissions
from meshcourse.checks.chapters import EXERCISES
from meshcourse.checks.outcome import Verdict
from meshcourse.checks.submissions import Submission, Submissions, remarked

NOON = dt.datetime(2026, 11, 30, 13, 29)  # noqa: DTZ001 - the clock on the wall
SHOP = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: shop\nspec: {}\n"


def made(minute: int, *objects: str, refused: str = "") -> Submission:
    return Submission(NOON.replace(minute=minute), frozenset(objects), refused=refused, hint="30 needs a unit" if refused else "")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (SHOP, {"virtualservice/shop"}),
        (SHOP + "---\n" + SHOP.replace("shop", "club"), {"virtualservice/shop", "virtualservice/club"}),
        ("{kind: Gateway, metadata: {name: desk}}", {"gateway/desk"}),
        (SHOP + '  x: "\\s"\n', {"virtualservice/shop"}),
        (SHOP + "\t- broken", {"virtualservice/shop"}),
        ("# only a comment", set()),
        ("", set()),
        ("[1, 2]", set()),
    ],
)
def test_objects_are_found_in_valid_and_in_broken_yaml(text: str, named: set[str]) -> None:
    assert submissions.objects(text) == named


def test_the_newest_answer_counts_and_only_if_it_was_refused() -> None:
    kept, exercise = Submissions(), EXERCISES["5.1"]
    assert kept.pending(exercise, EXERCISES) is None
    kept.note(made(29, "virtualservice/shop"))
    kept.note(made(31, "virtualservice/shop", refused="no"))
    refused = kept.pending(exercise, EXERCISES)
    assert refused is not None
    assert refused.at.minute == 31
    accepted = kept.accepted(exercise)
    assert accepted is not None
    assert accepted.at.minute == 29
    kept.note(made(32, "virtualservice/shop"))
    assert kept.pending(exercise, EXERCISES) is None


def test_a_refused_answer_to_another_exercise_is_no_answer_to_this_one() -> None:
    kept = Submissions()
    kept.note(made(31, "virtualservice/club", refused="no"))
    assert kept.pending(EXERCISES["5.1"], EXERCISES) is None
    assert kept.pending(EXERCISES["5.2"], EXERCISES) is not None


def test_a_refused_manifest_that_nobody_knows_may_be_an_answer_to_any() -> None:
    kept = Submissions()
    kept.note(made(29, "virtualservice/shop"))
    kept.note(made(31, refused="not valid YAML"))
    assert kept.pending(EXERCISES["5.1"], EXERCISES) is not None


def test_the_card_says_which_answer_was_judged_whatever_the_verdict() -> None:
    refused = made(31, "virtualservice/shop", refused="expected string")
    for found in (
        outcome.passed("200 by v2"),
        outcome.not_yet(seen="100 by v2", expected="150", hint="look at the weights"),
        outcome.cannot_tell("no answer", "meshcourse status"),
    ):
        said = remarked(found, refused, NOON)
        assert said.note.startswith("your last manifest, of 13:31, was refused; judged is the one of 13:29")
        assert "expected string" in said.note
        assert said.verdict is found.verdict
        assert "weights" not in said.hint


def test_a_refused_first_answer_is_an_attempt() -> None:
    said = remarked(outcome.not_attempted("there is none"), made(31, refused="no"), None)
    assert said.verdict is Verdict.NOT_YET
    assert "nothing to judge yet" in said.note
    assert said.hint == "30 needs a unit"


def test_two_answers_of_one_minute_are_told_apart_by_their_seconds() -> None:
    said = remarked(outcome.passed("x"), replace(made(29, refused="no"), at=NOON.replace(second=40)), NOON.replace(second=12))
    assert "of 13:29:40, was refused; judged is the one of 13:29:12" in said.note
