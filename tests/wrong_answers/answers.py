"""Wrong answers to the exercises, read from the files NN_M.yaml beside this one.

Each says what is done and which words the card must hold. What is done: `change` (the notebook's own solution, with texts replaced),
`instead` (a manifest of its own), `also` (a second manifest after it), `before` and `run` (commands for bash, before and after), `answer`
(for lab.answer; `@FILE` is what the file holds after `before`). `undo` are commands that put back what the stage's manifests do not.
`refused`: the cluster does not take it. `untried`: nobody has seen its card yet, so only `make wrong-answers` tries it; then delete
the line.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshcourse.checks.outcome import Verdict
from meshcourse.course import solutions

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "notebooks" / "source"
TENTHS = 10


@dataclass(frozen=True)
class Answer:
    """One answer to exercise `number`, and what the card must say to it."""

    number: str
    it: str
    manifests: tuple[str, ...] = ()
    before: str = ""
    run: str = ""
    undo: str = ""
    answer: str = ""
    hint: str = ""
    verdict: Verdict = Verdict.NOT_YET
    refused: bool = False
    untried: bool = False

    @property
    def chapter(self) -> int:
        """5 for "5.1"."""
        return int(self.number.partition(".")[0])

    def __str__(self) -> str:
        return f"{self.number} {self.it}"


@functools.cache
def solution(number: str) -> str:
    """The manifest of the notebook's solution, or its commands."""
    chapter = int(number.partition(".")[0])
    (source,) = SOURCES.glob(f"{chapter:02}_*.py")
    text = solutions.find(source.read_text(encoding="utf-8"), number)
    inside = re.search(r'"""\n(.*?)"""', text, re.DOTALL)
    return inside[1] if inside else text.removeprefix("%%bash\n")


def changed(text: str, changes: dict[str, str]) -> str:
    """`text` with each replacement made once; a missing text is a mistake in the file."""
    for old, new in changes.items():
        if old not in text:
            message = f"the solution does not hold {old!r}"
            raise ValueError(message)
        text = text.replace(old, new or "", 1)
    return text


def _read(number: str, entry: dict[str, Any]) -> Answer:
    manifests = [changed(solution(number), entry["change"])] if "change" in entry else []
    manifests += [str(entry[key]) for key in ("instead", "also") if key in entry]
    return Answer(
        number,
        str(entry["it"]),
        tuple(manifests),
        *(str(entry.get(key, "")) for key in ("before", "run", "undo", "answer", "hint")),
        verdict=Verdict(entry.get("verdict", "not yet")),
        refused=bool(entry.get("refused")),
        untried=bool(entry.get("untried")),
    )


def _files() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(HERE.glob("[0-9][0-9]_[0-9].yaml")):
        chapter, _, place = path.stem.partition("_")
        yield f"{int(chapter)}.{place}", yaml.safe_load(path.read_text(encoding="utf-8"))


@functools.cache
def wrong() -> tuple[Answer, ...]:
    """All wrong answers, in the order of the exercises; the first is to do nothing."""
    nothing = {"it": "nothing done", "verdict": "not attempted"}
    return tuple(_read(number, entry) for number, content in _files() for entry in (nothing, *content["wrong"]))


@functools.cache
def right() -> tuple[Answer, ...]:
    """Right answers in each way that a learner may choose; each must pass."""
    return tuple(
        _read(number, {**entry, "verdict": "passed", "hint": entry.get("says", "")})
        for number, content in _files()
        for entry in content.get("right", ())
    )


def tenth(turn: int) -> tuple[Answer, ...]:
    """Every tenth answer that was tried before, beginning with number `turn` (0 to 9), by exercise: ten turns try all of them."""
    every = sorted((each for each in (*wrong(), *right()) if not each.untried), key=lambda each: tuple(map(int, each.number.split("."))))
    return tuple(each for place, each in enumerate(every) if place % TENTHS == turn % TENTHS)
