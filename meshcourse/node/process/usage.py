"""Processor time and memory of containers, read from /proc, since not every user has control groups.

Processor time is that of all processes and of the children that they have waited for, so it grows as a cgroup's counter does (one that
ends while it is read may be missed, until the next reading). Memory is the proportional set size (PSS): private
pages, and shared pages divided by the number of processes that share them. A cgroup would also count cached files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from meshcourse.node.process.namespaces import mount_namespace

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Use:
    """Seconds of a processor since the start, and bytes of memory now."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0

    def __add__(self, other: Use) -> Use:
        """The use of both."""
        return Use(self.cpu_seconds + other.cpu_seconds, self.memory_bytes + other.memory_bytes)


def read(proc: Path = Path("/proc")) -> dict[str, Use]:
    """The use of each mount namespace (every container has its own), and of all processes under "". Blocks for milliseconds."""
    found: dict[str, Use] = {"": Use()}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            use = Use(cpu_seconds((folder / "stat").read_text(encoding="utf-8", errors="replace")), memory_bytes(folder))
        except OSError:  # it has ended meanwhile
            continue
        for key in {"", mount_namespace(int(folder.name))}:
            found[key] = found.get(key, Use()) + use
    return found


def cpu_seconds(stat: str) -> float:
    """Read a line of /proc/PID/stat: user and system time of the process and of the children that it has waited for.

    >>> cpu_seconds("7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 100 200 300 400 20 0") * _TICKS
    1000.0
    """
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def memory_bytes(folder: Path) -> int:
    """The proportional set size of a process; 0 for a process without memory of its own. Raises OSError once it has ended."""
    for line in (folder / "smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
