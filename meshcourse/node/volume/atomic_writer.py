"""Files that change all at once: a folder whose contents are swapped by one rename."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATA = "..data"
_NEW_DATA = "..data_tmp"


@dataclass(frozen=True)
class File:
    """The wanted content of one file. `owner` is a uid, None for root."""

    data: bytes
    mode: int
    owner: int | None = None


def write(folder: Path, files: Mapping[str, File], *, group: int | None = None) -> None:
    """Make `folder` (which exists) contain exactly `files`, by relative path; `group` owns and may read all of it."""
    files = {_checked(path): file for path, file in files.items()}
    old = (folder / _DATA).readlink().name if (folder / _DATA).is_symlink() else None
    fresh = Path(tempfile.mkdtemp(prefix=time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime()), dir=folder))
    try:
        fresh.chmod(0o755)
        for path, file in files.items():
            _write_one(fresh, path, file)
        if group is not None:
            give_to_group(folder, group, read_only=True)
        (folder / _NEW_DATA).unlink(missing_ok=True)
        (folder / _NEW_DATA).symlink_to(fresh.name)
        (folder / _NEW_DATA).rename(folder / _DATA)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shown = {PurePosixPath(path).parts[0] for path in files}
    for name in shown:
        if not os.path.lexists(folder / name):
            (folder / name).symlink_to(f"{_DATA}/{name}")
    for entry in folder.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in shown:
            entry.unlink()
    if old is not None:
        shutil.rmtree(folder / old, ignore_errors=True)


def give_to_group(folder: Path, group: int, *, read_only: bool) -> None:
    """Apply a pod's fsGroup to a volume: group owner, group rights, and new entries inherit the group (setgid folders)."""
    for where, folders, names in os.walk(folder):
        for path in (Path(where), *(Path(where, name) for name in (*folders, *names))):
            os.chown(path, -1, group, follow_symlinks=False)
            found = path.lstat().st_mode
            if stat.S_ISLNK(found):  # its mode has no meaning, and chmod would follow it
                continue
            wanted = 0o440 if read_only else 0o660
            if stat.S_ISDIR(found):
                wanted |= stat.S_ISGID | 0o110
            path.chmod(stat.S_IMODE(found) | wanted)


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        msg = f"invalid path in a volume: {path!r}"
        raise ValueError(msg)
    return str(PurePosixPath(path))


def _write_one(folder: Path, path: str, file: File) -> None:
    target = folder / path
    for parent in reversed(PurePosixPath(path).parents):
        if not (folder / parent).is_dir():
            (folder / parent).mkdir()
            (folder / parent).chmod(0o755)  # independent of the umask
    target.write_bytes(file.data)
    target.chmod(file.mode)
    if file.owner is not None:
        os.chown(target, file.owner, -1)
