"""Which processes belong to a container: those of its mount namespace, which no other container has."""

from __future__ import annotations

from pathlib import Path


def mount_namespace(pid: int) -> str:
    """The name of a process's mount namespace, or "" once it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def processes_in(mounts: str) -> list[int]:
    """All processes of a mount namespace that have not ended."""
    pids = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return [pid for pid in pids if mounts and mount_namespace(pid) == mounts]
