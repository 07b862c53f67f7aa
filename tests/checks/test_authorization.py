"""Hints of chapter 9 that depend on the policy's text, not on which call was seen first."""

from __future__ import annotations

from meshcourse.checks.chapters import ch09_authorization as chapter


def test_two_entries_are_told_whichever_call_gives_them_away() -> None:
    hint = chapter._entries("name the method")
    assert hint({"spec": {"rules": [{}]}}, 200) == "name the method"
    assert "mean `or`" in hint({"spec": {"rules": [{}, {}]}}, 200)
