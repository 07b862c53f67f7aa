"""Files that are replaced as a whole, and locks that are free again when the last process that holds them has ended."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from pathlib import Path


def replace(path: Path, text: str, *, durable: bool = False) -> None:
    """Write `text` to `path`, which only its owner may read. Other processes see the old file or the new one, never a part.

    With `durable` it waits for the disk, so that this holds after a power failure too.
    """
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def lock(path: Path, *, shared: bool = False, wait: bool = True) -> int:
    """Lock `path`, made if it is not there, and return a descriptor: the lock lasts until it and every copy of it are closed.

    Raises BlockingIOError when another process holds the lock and `wait` is False.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def claim(path: Path) -> int:
    """Lock `path` alone and at once. Raises BlockingIOError when it is held, but not for a process that is in `is_locked` just now."""
    while True:
        try:
            return lock(path, wait=False)
        except BlockingIOError:
            if is_locked(path):
                raise


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock alone."""
    if not path.exists():
        return False
    try:
        os.close(lock(path, shared=True, wait=False))  # shared, so that two processes that look at once do not see each other
    except BlockingIOError:
        return True
    return False


def write_json(path: Path, content: object) -> None:
    """Replace `path` in one step."""
    replace(path, json.dumps(content, indent=2))
