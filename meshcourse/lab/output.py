"""What a cell prints or shows as plain text."""

from __future__ import annotations

from dataclasses import dataclass


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)  # noqa: T201 - what a notebook's cell shows


@dataclass(frozen=True)
class Sentence:
    """Text that a cell shows without quotes."""

    text: str

    def __repr__(self) -> str:
        return self.text
