"""What this learner has passed, kept on disk: one small JSON file in the user's state folder.

Every change reads, changes and replaces the file under a lock, so two kernels never lose each other's marks, and a kernel killed half-way
leaves the old file or the new one. A file that cannot be read is set aside, never deleted.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshcourse.core import errors, paths


@dataclass(frozen=True)
class Record:
    """What one learner has done: when each exercise passed first, by number, and when each chapter was opened first, by key."""

    passed: Mapping[str, datetime] = field(default_factory=dict)
    opened: Mapping[str, datetime] = field(default_factory=dict)
    complaint: str = ""
    """Said when the file could not be read and was set aside."""


def read(path: Path | None = None) -> Record:
    """The record in `path`, the learner's own without it. Raises CourseError when the folder does not let us."""
    return _change(lambda record: record, path)


def note_passed(number: str, path: Path | None = None) -> Record:
    """Exercise `number` has passed. The first time counts: a later one changes nothing. Raises CourseError when it cannot be kept."""
    return _change(lambda record: replace(record, passed={number: _now(), **record.passed}), path)


def note_opened(key: str, path: Path | None = None) -> Record:
    """Chapter `key` has been opened. Raises CourseError when it cannot be kept."""
    return _change(lambda record: replace(record, opened={key: _now(), **record.opened}), path)


def forget(exercises: frozenset[str], chapters: frozenset[str], path: Path | None = None) -> Record:
    """Take these marks away; others stay. Raises CourseError when it cannot be done."""
    return _change(
        lambda record: replace(
            record,
            passed={number: at for number, at in record.passed.items() if number not in exercises},
            opened={key: at for key, at in record.opened.items() if key not in chapters},
        ),
        path,
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _change(change: Callable[[Record], Record], path: Path | None) -> Record:
    path = path or paths.progress()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            before = _load(path)
            after = change(before)
            if after != before:
                _save(path, after)
            return after
    except OSError as error:
        raise errors.CourseError(
            "Your progress cannot be kept.",
            why=f"{path}: {error.strerror or error}",
            next=f"make {path.parent} writable, or free some space",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _load(path: Path) -> Record:
    if not path.exists():
        return Record()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Record(_moments(content["passed"]), _moments(content["opened"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        aside = path.with_name(f"{path.stem}.broken-{_now():%Y%m%d-%H%M%S}{path.suffix}")
        path.replace(aside)
        return Record(complaint=f"your progress could not be read ({error}); the file is kept as {aside}, and progress begins anew")


def _moments(content: Mapping[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(at) for name, at in content.items()}


def _save(path: Path, record: Record) -> None:
    """A file beside it, then one rename: nobody ever sees half of it."""
    content = {
        "opened": {key: at.isoformat() for key, at in record.opened.items()},
        "passed": {number: at.isoformat() for number, at in record.passed.items()},
    }
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
