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

_RECORD = "control-groups.json"


def claim(home: Path, name: str) -> tuple[Group | None, str]:
    """Make it. Without one the text says why, as the end of a sentence."""
    release(home)
    try:
        group = control_groups.claim(f"meshcourse-{name}")
    except NoControlGroups as refused:
        return None, str(refused)
    files.write_json(home / _RECORD, {kind: str(folder) for kind, folder in group.folders.items()})
    return group, ""


def release(home: Path) -> None:
    """Remove what is written down, if anything is; its processes have ended."""
    with contextlib.suppress(OSError, ValueError):
        folders = json.loads((home / _RECORD).read_text(encoding="utf-8"))
        Group(1, {kind: Path(folder) for kind, folder in folders.items()}).remove()
        (home / _RECORD).unlink()
