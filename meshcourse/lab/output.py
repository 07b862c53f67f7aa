"""What a cell prints or shows as plain words."""

from __future__ import annotations

from dataclasses import dataclass


def say(text: str) -> None:
    """One line, shown at once."""
    print(text, flush=True)  # noqa: T201 - what a notebook's cell shows


@dataclass(frozen=True)
class Sentence:
    """Words that a cell shows as they are."""

    text: str

    def __repr__(self) -> str:
        return self.text
