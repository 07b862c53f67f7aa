"""hostPath volumes: folders and files of the node, which are not the machine's.

The node has files of its own below one folder: empty but for /etc/hosts, /tmp and /var, in memory, and gone with the cluster. No link that
a pod makes in there leads out of it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from meshcourse.core.errors import ClusterError
from meshcourse.node.images.passwd import inside

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json

_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{ip}\t{name}\n"
_MADE = ("", "DirectoryOrCreate")
_IS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def prepare(root: Path, name: str, ip: str) -> None:
    """Make the node's files in the new folder `root`."""
    for folder in ("etc", "var/log", "var/lib", "tmp", "var/tmp"):
        (root / folder).mkdir(parents=True)
    for folder in ("tmp", "var/tmp"):
        (root / folder).chmod(0o1777)
    (root / "etc" / "hosts").write_text(_HOSTS.format(ip=ip, name=name), encoding="utf-8")
    (root / "etc" / "hostname").write_text(f"{name}\n", encoding="utf-8")


def find(root: Path, source: Json) -> Path:
    """The file or folder that a hostPath volume shows, created first if its type asks for that.

    Raises:
        OSError: it is not there, or not of its type; the message is a kubelet's.
    """
    path, kind = source["path"], source.get("type") or ""
    try:
        found = inside(root, path)
    except ClusterError as error:
        raise OSError(errno.ELOOP, f"{path} is a loop of symbolic links") from error
    if not found.exists():
        if kind in _MADE:
            found.mkdir(parents=True)
        elif kind == "FileOrCreate":
            found.touch(mode=0o644)
    if kind:
        is_it, what = _IS[kind]
        if not found.exists() or not is_it(found.stat().st_mode):
            raise OSError(0, f"hostPath type check failed: {path} is not {what}")
    return found


def open_below(folder: Path, path: Path) -> int:
    """Open `path`, which lies below `folder`, without following any link: one may have been put there since `path` was found.

    The descriptor names the file only (O_PATH). Raises OSError.
    """
    at = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    for part in path.relative_to(folder).parts:
        try:
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=at)
        finally:
            os.close(at)
        at = below
    if stat.S_ISLNK(os.fstat(at).st_mode):
        os.close(at)
        raise OSError(errno.ELOOP, f"{path} has become a link")
    return at
