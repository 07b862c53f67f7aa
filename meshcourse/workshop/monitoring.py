"""What the board reads about a learner from outside the sandbox: progress, cluster, memory.

Learners can write anything into their own folders, also links to other files. So links are not followed, and only plain files are read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meshcourse.cluster import daemon_options
from meshcourse.core import files, paths, settings
from meshcourse.course import attempts, passed
from meshcourse.course.passed import Record
from meshcourse.workshop import accounts, record, results
from meshcourse.workshop.results import Results
from meshcourse.workshop.users import User

PROGRESS: Final = Path("progress.json")
LARGEST: Final = 1_000_000
"""Bytes that are read of a file."""


@contextlib.contextmanager
def _plain_file(folder: Path, names: tuple[str, ...]) -> Iterator[int]:
    """A descriptor of the file `names[-1]` below `folder`. Raises OSError when there is a link on the way, and when it is no plain file."""
    opened: list[int] = []
    try:
        opened.append(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))
        for name in names[:-1]:
            opened.append(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        handle = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened[-1])
        opened.append(handle)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise OSError(errno.EINVAL, "no plain file", names[-1])
        yield handle
    finally:
        for each in opened:
            os.close(each)


def text(folder: Path, *names: str) -> str:
    """The last LARGEST bytes of the file `names[-1]` below `folder`; empty when it is no plain file that can be read."""
    with contextlib.suppress(OSError), _plain_file(folder, names) as handle:
        os.lseek(handle, max(0, os.fstat(handle).st_size - LARGEST), os.SEEK_SET)
        return os.read(handle, LARGEST).decode("utf-8", "replace")
    return ""


def is_locked(folder: Path, *names: str) -> bool:
    """Whether a running process holds the lock of that file alone."""
    with contextlib.suppress(OSError), _plain_file(folder, names) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def results_of(user: User) -> Results:
    """What they passed and tried."""
    folder, names = record.state(user)
    done = Record()
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        done = passed.parse(text(folder, *names, PROGRESS.name))
    return results.of(user, done, attempts.read(text(folder, *names, attempts.file(PROGRESS).name)))


def cluster(user: User) -> str:
    """The health of their embedded cluster, in a word or two."""
    folder, names = record.state(user)
    names += paths.cluster(settings.DEFAULT_CLUSTER).relative_to(paths.state()).parts
    try:
        listed = json.loads(text(folder, *names, "status.json"))
        if not is_locked(folder, *names, daemon_options.LOCK):
            return "not running; the chapter's first cell starts it"
        wrong = [str(each["name"])[:40] for each in listed if each["state"] != "running"]
        return f"not running: {', '.join(wrong)}" if wrong else "runs"
    except (ValueError, TypeError, KeyError):
        return ""


def server_pid(user: User) -> int:
    """The process of their sandbox, or of an account's server; 0 when none runs."""
    if not user.code:
        return accounts.server(user.account)
    lock_file = record.folder() / "sandboxes" / f"{user.account}.lock"
    with contextlib.suppress(OSError, ValueError):
        if files.is_locked(lock_file):
            return int(lock_file.read_text(encoding="ascii"))
    return 0


def memory(pid: int, children: Mapping[int, list[int]]) -> int:
    """Bytes that process and its descendants have: each shared page is counted in shares (Pss)."""
    total, left = 0, [pid]
    while left:
        each = left.pop()
        left += children.get(each, [])
        with contextlib.suppress(OSError, ValueError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def children() -> dict[int, list[int]]:
    """Every process of the machine, by its parent."""
    found: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            content = file.read_text(encoding="utf-8", errors="replace")
            found.setdefault(int(content.rpartition(")")[2].split()[1]), []).append(int(file.parent.name))
    return found


def now() -> str:
    """The time, for the page."""
    return datetime.now(UTC).isoformat(timespec="seconds")
