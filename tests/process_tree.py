"""The processes of a cluster, as this machine sees them."""

from __future__ import annotations

from pathlib import Path


def tree(pid: int) -> list[int]:
    """`pid` and all processes below it, by this machine's numbering."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        for thread in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                waiting += [int(word) for word in thread.read_text().split()]
            except OSError:
                continue
    return found


def program(pid: int) -> str:
    """The name that a process was started by."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").rpartition("/")[2]
    except OSError:
        return ""
