"""What this learner has passed: one small JSON file in the user's state folder.

Every change reads and replaces the file under a lock, so two kernels never overwrite each other's results, and a kernel that is killed
leaves the old file or the new one. A file that cannot be read is renamed, never deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshcourse.core import errors, files, paths


@dataclass(frozen=True)
class Record:
    """What one learner has done: when each exercise passed first, by number, and when each chapter was opened first, by key."""

    passed: Mapping[str, datetime] = field(default_factory=dict)
    opened: Mapping[str, datetime] = field(default_factory=dict)
    complaint: str = ""
    """Set when the file could not be read and was renamed."""


def read(path: Path | None = None) -> Record:
    """The record in `path`, by default the learner's own. Raises CourseError when the folder cannot be used."""
    return _change(lambda record: record, path)


def note_passed(number: str, path: Path | None = None) -> Record:
    """Record that exercise `number` has passed. Only the first time counts. Raises CourseError when it cannot be saved."""
    return _change(lambda record: replace(record, passed={number: _now(), **record.passed}), path)


def note_opened(key: str, path: Path | None = None) -> Record:
    """Record that chapter `key` was opened. Raises CourseError when it cannot be saved."""
    return _change(lambda record: replace(record, opened={key: _now(), **record.opened}), path)


def forget(exercises: frozenset[str], chapters: frozenset[str], path: Path | None = None) -> Record:
    """Forget these exercises and chapters. Raises CourseError when the file cannot be changed."""
    return _change(
        lambda record: replace(
            record,
            passed={number: at for number, at in record.passed.items() if number not in exercises},
            opened={key: at for key, at in record.opened.items() if key not in chapters},
        ),
        path,
    )


def parse(text: str) -> Record:
    """The record that a file holds. Raises ValueError, TypeError, KeyError or AttributeError when it holds none."""
    content = json.loads(text)
    return Record(_moments(content["passed"]), _moments(content["opened"]))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _change(change: Callable[[Record], Record], path: Path | None) -> Record:
    path = path or paths.progress()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = files.lock(path.with_suffix(".lock"))
        try:
            before = _load(path)
            after = change(before)
            if after != before:
                _save(path, after)
        finally:
            os.close(lock)
    except OSError as error:
        raise errors.CourseError(
            "Your progress cannot be saved.",
            why=f"{path}: {error.strerror or error}",
            next=f"make {path.parent} writable, or free some space",
        ) from error
    return after


def _load(path: Path) -> Record:
    if not path.exists():
        return Record()
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        aside = path.with_name(f"{path.stem}.broken-{_now():%Y%m%d-%H%M%S}{path.suffix}")
        path.replace(aside)
        return Record(complaint=f"your progress could not be read ({error}) and starts again; the old file is {aside}")


def _moments(content: Mapping[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(at) for name, at in content.items()}


def _save(path: Path, record: Record) -> None:
    content = {
        "opened": {key: at.isoformat() for key, at in record.opened.items()},
        "passed": {number: at.isoformat() for number, at in record.passed.items()},
    }
    files.replace(path, json.dumps(content, indent=1, sort_keys=True) + "\n", durable=True)
