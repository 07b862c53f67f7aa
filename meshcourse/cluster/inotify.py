"""fs.inotify.max_user_instances, the first limit that a cluster with many pods reaches.

A sidecar takes three instances (counted in /proc/PID/fd: pilot-agent has two, Envoy one). An Envoy that cannot get one aborts: "Consider
increasing value of fs.inotify.max_user_instances". In a cluster without root all pods belong to one user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SETTING: Final = "fs.inotify.max_user_instances"
LIMIT: Final = Path("/proc/sys/fs/inotify/max_user_instances")
EACH: Final = 3
ENOUGH: Final = 1024
OTHERS: Final = 20
"""Reserved for the control plane and the learner's other programs (editor, desktop)."""

FIX: Final = f"sudo sysctl -w {SETTING}={ENOUGH}"


def limit(file: Path = LIMIT) -> int | None:
    """Instances that one user may have; None where the kernel does not report it."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def sidecars(allowed: int) -> int:
    """How many sidecars that allows, in all clusters of one user together."""
    return max(0, allowed - OTHERS) // EACH


def enlarge(file: Path = LIMIT) -> str:
    """Raise a low limit until the next boot, and return a line about it; empty when it is high enough or may not be changed."""
    allowed = limit(file)
    if allowed is None or allowed >= ENOUGH:
        return ""
    try:
        file.write_text(f"{ENOUGH}\n", encoding="ascii")
    except OSError:
        return ""
    return f"{SETTING} was {allowed}, enough for {sidecars(allowed)} sidecars; it is {ENOUGH} until the next boot"
