"""Every check of an exercise that this learner has run: a line of JSON each, in a file beside the progress.

A line is written whole or not at all; one that cannot be read is passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from meshcourse.core import paths


@dataclass(frozen=True)
class Attempt:
    """One check of exercise `number`: the verdict in the card's words, and how many hints of it had been taken."""

    number: str
    at: datetime
    verdict: str
    passed: bool
    hints: int = 0


def file(progress: Path | None = None) -> Path:
    """Where they are, beside the file of the learner's progress."""
    path = progress or paths.progress()
    return path.with_name(f"{path.stem}-attempts.jsonl")


def note(attempt: Attempt) -> None:
    """Keep one. A full disk must not take the verdict away, so nothing is raised."""
    content = {
        "number": attempt.number,
        "at": attempt.at.isoformat(),
        "verdict": attempt.verdict,
        "passed": attempt.passed,
        "hints": attempt.hints,
    }
    line = json.dumps(content) + "\n"
    with contextlib.suppress(OSError):
        handle = os.open(file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


def now() -> datetime:
    """The time of an attempt."""
    return datetime.now(UTC).replace(microsecond=0)


def read(text: str) -> tuple[Attempt, ...]:
    """Those in `text`, in their order."""
    return tuple(_attempts(text.splitlines()))


def _attempts(lines: Iterable[str]) -> Iterable[Attempt]:
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(line)
            yield Attempt(
                str(found["number"]),
                datetime.fromisoformat(found["at"]),
                str(found["verdict"]),
                found["passed"] is True,
                int(found["hints"]),
            )
