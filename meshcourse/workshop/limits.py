"""Limits for the processes in a learner's sandbox, so that an accident of one learner does not take the machine from the others.

They are the kernel's resource limits (setrlimit(2)): each holds for one process, and `processes` for one user id of the sandbox.
A learner's whole memory, CPU and disk are not limited, and whoever wants to can get around them: only cgroups could prevent that.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

LIMITS: Final = {
    "memory": (resource.RLIMIT_DATA, 4 << 30),
    "file": (resource.RLIMIT_FSIZE, 2 << 30),
    "open files": (resource.RLIMIT_NOFILE, 65_536),
    "processes": (resource.RLIMIT_NPROC, 4_000),
    "core": (resource.RLIMIT_CORE, 0),
}
"""Bytes of memory and of a file that one process writes, its open files, processes and threads of one user id, bytes of a core dump.

Measured on two cores, a cluster with Istio: 73 threads of one user id, 490 MB in its largest process, 131 open files."""
OOM_SCORE: Final = 500
"""When the machine's memory is full, the kernel ends a learner's largest process before the hub, the board or another program."""
NICENESS: Final = 5
"""The hub and the board run before learners' processes when all cores are busy."""


def end_first_when_memory_is_full() -> None:
    """Raise this process's OOM score, and its children's. Call it before user ids change: the file is root's afterwards."""
    Path("/proc/self/oom_score_adj").write_text(f"{OOM_SCORE}\n", encoding="ascii")


def apply() -> None:
    """Limit this process and its children. Call it inside the user namespace: outside, the kernel counts all learners together."""
    for limit, most in LIMITS.values():
        _, hard = resource.getrlimit(limit)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (value, value))
    os.nice(NICENESS)
