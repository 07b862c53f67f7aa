"""The unpacking of an image's files: `python -m meshcourse.node.pulling.unpacking FOLDER`, with a tar archive on its input.

It enters FOLDER by chroot before it reads the first byte, so that no name and no link in a foreign archive leads out of it. In a
user namespace two things cannot be as in the image: device files are left out, and an owner that the namespace does not have (above 65,536)
becomes root. Extended attributes are left out everywhere; of these, file capabilities would have no effect (no_new_privs).
"""

from __future__ import annotations

import os
import sys
import tarfile
import time
from pathlib import Path
from typing import BinaryIO

_REPORT_SECONDS = 0.5


def owners(text: str) -> int:
    r"""How many user (or group) ids there are, by the `text` of /proc/self/uid_map.

    >>> owners("         0       1000          1\n         1     100000      65536\n")
    65537
    """
    return max(int(first) + int(count) for first, _, count in (line.split() for line in text.splitlines()))


class _Counted:
    """The archive as it is read; reports now and then how many bytes have come."""

    def __init__(self, archive: BinaryIO) -> None:
        self._archive = archive
        self._bytes = 0
        self._reported = time.monotonic()

    def read(self, size: int) -> bytes:
        chunk = self._archive.read(size)
        self._bytes += len(chunk)
        if time.monotonic() - self._reported > _REPORT_SECONDS:
            self._reported = time.monotonic()
            print(self._bytes, flush=True)  # noqa: T201 - whoever started this reads it
        return chunk


def unpack(archive: BinaryIO, users: int, groups: int, where: str = "/") -> int:
    """Unpack `archive` into a folder, by default this process's root; returns the bytes of its files.

    Raises tarfile.TarError, OSError, and KeyError for a hard link to nothing.
    """
    done = 0
    with tarfile.open(fileobj=_Counted(archive), mode="r|") as tar:  # type: ignore[call-overload]  # of a stream only `read` is used
        tar.extraction_filter = lambda member, _: member  # the chroot keeps it inside
        for member in tar:
            if member.isdev() and not member.isfifo():
                continue
            member.uid, member.gid = member.uid * (member.uid < users), member.gid * (member.gid < groups)
            tar.extract(member, where, numeric_owner=True)
            done += member.size if member.isreg() else 0
    while archive.read(1 << 16):  # the archive's padding: its writer must not meet a closed pipe
        pass
    return done


def main() -> int:
    """Unpack standard input into the folder in the arguments."""
    users, groups = (owners(Path(f"/proc/self/{kind}_map").read_text(encoding="ascii")) for kind in ("uid", "gid"))
    os.umask(0o022)
    os.chroot(sys.argv[1])
    os.chdir("/")
    try:
        size = unpack(sys.stdin.buffer, users, groups)
    except Exception as error:  # noqa: BLE001 - to show a traceback, Python would import modules: by now those that the archive holds
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - the same
        return 1
    print(size, flush=True)  # noqa: T201 - the same
    return 0


if __name__ == "__main__":
    sys.exit(main())
