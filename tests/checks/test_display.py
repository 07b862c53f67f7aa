"""Outcomes as text and as HTML."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from meshcourse.checks import chapters, display, outcome
from meshcourse.checks.outcome import Outcome

FOUND = [
    outcome.not_attempted("there is no VirtualService `shop`"),
    outcome.passed("200 by v2", bound="1000 requests"),
    outcome.not_yet(seen="100 by v2", expected="150 to 253", hint="look at the weights", bound="1000 requests"),
    outcome.cannot_tell("The cluster does not answer.", "meshcourse status"),
]
EVERY = [replace(found, exercise="5.1") for found in FOUND]


@pytest.mark.parametrize("found", EVERY, ids=lambda found: found.verdict.name)
def test_text_and_html_say_the_same(found: Outcome) -> None:
    text, page = display.plain(found), display.page(found)
    assert f"Exercise 5.1: {found.verdict.value}" in text
    assert f"Exercise 5.1: {found.verdict.value}" in page
    for said in (found.seen, found.expected, found.hint, found.bound):
        assert said in text
        assert said in page.replace("<code>", "`").replace("</code>", "`")


def test_what_stands_between_backticks_is_code() -> None:
    page = display.page(outcome.not_yet(seen="", expected="", hint="put `exact: <name>` first, and a ` alone stays"))
    assert "<b>hint:</b> put <code>exact: &lt;name&gt;</code> first, and a ` alone stays</div>" in page


def test_hints_have_no_markup_that_is_shown_as_stars() -> None:
    for exercise in chapters.EXERCISES.values():
        assert not [hint for hint in exercise.hints if re.search(r"\*\w+\*", hint)]


def test_not_yet_names_what_was_seen_and_expected_and_a_hint() -> None:
    assert display.plain(EVERY[2]).splitlines()[1:4] == [
        "    seen: 100 by v2",
        "    expected: 150 to 253",
        "    hint: look at the weights",
    ]


def test_cannot_tell_does_not_blame_the_learner() -> None:
    assert "not yours" in display.plain(EVERY[3])


def test_html_of_an_answer_cannot_break_the_page() -> None:
    found = outcome.not_yet(seen="<script>", expected="a & b", hint="")
    assert "<script>" not in display.page(found)
    assert "a &amp; b" in display.page(found)


def test_card_shows_itself_in_both_forms() -> None:
    card = display.Card(EVERY[1])
    assert repr(card) == display.plain(EVERY[1])
    assert card._repr_html_() == display.page(EVERY[1])


def test_what_was_judged_is_said_before_what_was_seen() -> None:
    found = replace(EVERY[1], note="your last manifest, of 13:31, was refused; judged is the one of 13:29")
    assert display.plain(found).splitlines()[1] == "    mind: your last manifest, of 13:31, was refused; judged is the one of 13:29"
    assert found.note in display.page(found)
