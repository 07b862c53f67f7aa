"""The users and groups of an image: its /etc/passwd and /etc/group.

`inside` is also used to find mount points (sandbox.py, rootfs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from meshcourse.core.errors import ClusterError

_LINKS: Final = 40  # the kernel's limit: more are a cycle
_PASSWD, _GROUP = 6, 4  # fields that are read, by passwd(5) and group(5)


@dataclass(frozen=True)
class Accounts:
    """Lines of passwd (name, uid, gid, home) and of group (name, gid, members); both may be empty."""

    users: tuple[tuple[str, int, int, str], ...] = ()
    groups: tuple[tuple[str, int, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, root: Path) -> Accounts:
        """Read those of an image; missing or damaged files are left out."""
        passwd = [each for each in _lines(inside(root, "/etc/passwd")) if len(each) >= _PASSWD and (each[2] + each[3]).isdigit()]
        group = [each for each in _lines(inside(root, "/etc/group")) if len(each) >= _GROUP and each[2].isdigit()]
        return cls(
            tuple((name, int(uid), int(gid), home) for name, _, uid, gid, _, home, *_ in passwd),
            tuple((name, int(gid), tuple(filter(None, members.split(",")))) for name, _, gid, members, *_ in group),
        )

    def user(self, text: str) -> tuple[str, int, int, str] | None:
        """The line of a user, by name or by number."""
        by_name = next((each for each in self.users if each[0] == text), None)
        return by_name or next((each for each in self.users if str(each[1]) == text), None)

    def group(self, name: str) -> int | None:
        """The number of a group."""
        return next((gid for each, gid, _ in self.groups if each == name), None)

    def groups_of(self, uid: int) -> tuple[int, ...]:
        """The groups that list the user as a member."""
        name = next((each[0] for each in self.users if each[1] == uid), None)
        return tuple(gid for _, gid, members in self.groups if name in members)


def inside(root: Path, path: str) -> Path:
    """The path below `root` of a container's `path`, with links resolved as the container would: they never lead outside.

    A missing path is where it would be created. Raises ClusterError for a loop of links.
    """
    left = list(reversed(PurePosixPath("/", path).parts[1:]))
    at, links = root, 0
    while left:
        part = left.pop()
        if part == "..":
            at = at if at == root else at.parent
            continue
        at /= part
        if at.is_symlink():
            links += 1
            if links > _LINKS:
                raise ClusterError(f"{path} is a loop of symbolic links in the image.")
            to = PurePosixPath(at.readlink())
            at = root if to.is_absolute() else at.parent
            left += reversed(to.parts[1:] if to.is_absolute() else to.parts)
    return at


def _lines(path: Path) -> list[list[str]]:
    try:
        return [line.split(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return []
