"""The learner's own copies of the notebooks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

PARTS: Final = ("manifests", "pictures")
"""The folders that notebooks use, besides the notebooks themselves."""
RECORD: Final = ".meshcourse.json"
"""What was laid, by name: the digest of each file, to tell a learner's change from ours."""


def _as_it_is(_name: str, content: bytes) -> bytes:
    return content


def lay(course: Path, own: Path, adapt: Callable[[str, bytes], bytes] = _as_it_is) -> tuple[str, ...]:
    """Bring `own` up to date with `course`; returns a line for each thing worth saying. Nothing happens when both are the same folder.

    `adapt` changes a file's content, by its name, before it is copied.
    """
    if own == course.resolve():
        return ()
    own.mkdir(parents=True, exist_ok=True)
    record = own / RECORD
    laid: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    said = []
    besides = (path for part in PARTS for path in (course / part).rglob("*") if path.is_file())
    for source in sorted([*course.glob("*.ipynb"), *course.glob("*.md"), *besides]):
        name = source.relative_to(course).as_posix()
        target, content = own / name, adapt(name, source.read_bytes())
        fresh = _digest(content)
        current = _digest(target.read_bytes()) if target.is_file() else None
        if current == fresh:
            laid[name] = fresh
        elif current is None or current == laid.get(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            laid[name] = fresh
            if current is not None:
                said.append(f"{name} is updated")
        elif laid.get(name) != fresh:
            beside = target.with_name(f"{target.stem}.new{target.suffix}")
            beside.write_bytes(content)
            laid[name] = fresh
            said.append(f"{name} has changed in the course and holds your work; the new one is {beside.name}")
    record.write_text(json.dumps(laid, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return (*said, f"your notebooks are in {own}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
