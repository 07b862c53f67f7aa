"""The control group of a cluster: made before its namespaces, removed after them.

Its folders are written down in the cluster's own, so that the next start, or `down`, removes what a killed daemon left.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from meshcourse.core import files
from meshcourse.node.process import control_groups
from meshcourse.node.process.control_groups import Group, NoControlGroups
from meshcourse.node.spec.resources import Limits

_RECORD = "control-groups.json"
_ALL_PODS = Limits(shares=8192)
"""Beside the group stand the control plane and the user's own programs: 1024 for each thread that wants to run."""


def claim(home: Path, name: str) -> tuple[Group | None, str]:
    """Make it. Without one the text says why, as the end of a sentence."""
    release(home)
    try:
        group = control_groups.claim(f"meshcourse-{name}")
        group.limit_processor(_ALL_PODS)
    except (NoControlGroups, OSError) as refused:
        return None, str(refused)
    files.write_json(home / _RECORD, {kind: str(folder) for kind, folder in group.folders.items()})
    return group, ""


def release(home: Path) -> None:
    """Remove what is written down, if anything is; its processes have ended."""
    with contextlib.suppress(OSError, ValueError):
        folders = json.loads((home / _RECORD).read_text(encoding="utf-8"))
        Group(1, {kind: Path(folder) for kind, folder in folders.items()}).remove()
        (home / _RECORD).unlink()
