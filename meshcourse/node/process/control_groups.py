"""Control groups: what makes requests and limits of processor and memory hold.

`claim` makes a group below the one that this process is in, so that whatever limits the user has hold on. Version 1 has a hierarchy for
each controller and only root may write there; version 2 has one, and an ordinary user gets a part of it from systemd (Delegate=yes).
Sources: cgroups(7), the kernel's admin-guide/cgroup-v1 and cgroup-v2.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshcourse.node.spec.resources import PERIOD, UNLIMITED

if TYPE_CHECKING:
    from meshcourse.node.spec.resources import Limits

ROOT: Final = Path("/sys/fs/cgroup")
CONTROLLERS: Final = ("cpu", "memory")
DELEGATED: Final = "systemd-run --user --scope -p Delegate=yes meshcourse up"
_REMOVE_SECONDS: Final = 2.0


class NoControlGroups(Exception):  # noqa: N818 - reads as the sentence it is
    """They cannot be had; the message says why, as the end of a sentence, and what to do where something can be done."""


class TooLittleMemory(Exception):  # noqa: N818 - reads as the sentence it is
    """A memory limit is below what the group uses now."""


@dataclass(frozen=True)
class Group:
    """A control group: `folders` has one for each controller, which in version 2 are the same."""

    version: int
    folders: Mapping[str, Path]

    def child(self, name: str) -> Group:
        """Make a group in this one. Raises OSError."""
        if self.version == 2:  # noqa: PLR2004
            self._write("cpu", "cgroup.subtree_control", " ".join(f"+{each}" for each in CONTROLLERS))
        made = Group(self.version, {kind: folder / name for kind, folder in self.folders.items()})
        for folder in made._paths():
            folder.mkdir(exist_ok=True)
        return made

    def limit_processor(self, limits: Limits) -> None:
        """Let the processor's part of `limits` hold. Raises OSError."""
        if self.version == 1:
            self._write("cpu", "cpu.shares", str(limits.shares))
            self._write("cpu", "cpu.cfs_period_us", str(PERIOD))
            self._write("cpu", "cpu.cfs_quota_us", str(limits.quota))
        else:
            self._write("cpu", "cpu.weight", str(1 + (limits.shares - 2) * 9999 // 262142))
            self._write("cpu", "cpu.max", f"{'max' if limits.quota == UNLIMITED else limits.quota} {PERIOD}")

    def limit_memory(self, limits: Limits) -> None:
        """Let the memory's part of `limits` hold. Raises TooLittleMemory, with nothing changed, and OSError."""
        if limits.memory != UNLIMITED and (used := self.memory_used()) > limits.memory:
            raise TooLittleMemory(f"the memory limit ({limits.memory} bytes) is below what is used now ({used} bytes)")
        if self.version == 1:
            self._write("memory", "memory.limit_in_bytes", str(limits.memory))
            with contextlib.suppress(OSError):  # not there without swap
                self._write("memory", "memory.swappiness", "0")
        else:
            self._write("memory", "memory.max", "max" if limits.memory == UNLIMITED else str(limits.memory))
            with contextlib.suppress(OSError):
                self._write("memory", "memory.swap.max", "0")
            self._write("memory", "memory.oom.group", "1")

    def memory_used(self) -> int:
        """Bytes that count against its limit now."""
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        return int((self.folders["memory"] / name).read_text(encoding="ascii"))

    def killed_for_memory(self) -> int:
        """How many of its processes the kernel has killed because its memory was used up; 0 once it has gone."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        try:
            lines = (self.folders["memory"] / name).read_text(encoding="ascii").splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    @property
    def entries(self) -> tuple[Path, ...]:
        """The files that take a process: "0" means the one that writes."""
        return tuple(folder / "cgroup.procs" for folder in self._paths())

    def mounts(self) -> Iterator[tuple[Path, str]]:
        """What a container sees of it, and where."""
        if self.version == 1:
            yield from ((folder, str(ROOT / kind)) for kind, folder in self.folders.items())
        else:
            yield self.folders["cpu"], str(ROOT)

    def remove(self) -> None:
        """Remove it with all groups in it, once their processes have ended; blocks for two seconds at most. What is in use stays."""
        until = time.monotonic() + _REMOVE_SECONDS
        for folder in self._paths():
            while not _removed(folder) and time.monotonic() < until:
                time.sleep(0.01)

    def _paths(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self.folders.values()))

    def _write(self, kind: str, name: str, text: str) -> None:
        (self.folders[kind] / name).write_text(text, encoding="ascii")


def find(root: Path = ROOT, proc: Path = Path("/proc/self/cgroup")) -> Group:
    """The group that this process is in, if it may make others in it. Changes nothing. Raises NoControlGroups."""
    try:
        lines = [line.split(":", 2) for line in proc.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise NoControlGroups("this kernel has no control groups") from error
    own = {name: path for _, names, path in lines for name in names.split(",")}
    if (root / "cgroup.controllers").exists():
        folder = root / own.get("", "/").lstrip("/")
        group, there = Group(2, dict.fromkeys(CONTROLLERS, folder)), _words(folder / "cgroup.controllers")
        if os.access(folder, os.W_OK) and not set(CONTROLLERS) <= set(there):
            raise NoControlGroups(f"the controllers cpu and memory are not delegated to {folder}; try: {DELEGATED}")
    elif set(CONTROLLERS) <= own.keys():
        group = Group(1, {kind: root / kind / own[kind].lstrip("/") for kind in CONTROLLERS})
    else:
        raise NoControlGroups(f"the controllers cpu and memory are not mounted below {root}")
    for folder in group.folders.values():
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            if group.version == 1:
                raise NoControlGroups("this machine has control groups of version 1, which only root may change")
            raise NoControlGroups(f"{folder} is not this user's; try: {DELEGATED}")
    return group


def claim(name: str, root: Path = ROOT, proc: Path = Path("/proc/self/cgroup")) -> Group:
    """Make the group `name` in the one that this process is in. Raises NoControlGroups.

    In version 2 a group with processes of its own gives no controllers to others: its processes then move to a group beside the new one.
    """
    own = find(root, proc)
    try:
        return own.child(name)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise NoControlGroups(f"no group can be made in {own.folders['memory']}: {error.strerror}") from error
    try:
        folder = own.folders["cpu"]
        (folder / "rest").mkdir(exist_ok=True)
        for pid in _words(folder / "cgroup.procs"):
            with contextlib.suppress(ProcessLookupError):
                (folder / "rest" / "cgroup.procs").write_text(pid, encoding="ascii")
        return own.child(name)
    except OSError as error:
        raise NoControlGroups(f"no group can be made in {own.folders['cpu']}: {error.strerror}") from error


def _removed(folder: Path) -> bool:
    try:
        for each in folder.iterdir():
            if each.is_dir():
                _removed(each)
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
