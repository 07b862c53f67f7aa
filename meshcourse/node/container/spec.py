"""The specification of a container to run, and the host's programs that create it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshcourse.core.errors import MissingPrerequisite
from meshcourse.engine import binaries
from meshcourse.node import images
from meshcourse.node.process.control_groups import Group
from meshcourse.node.volume.volumes import Mount

HOST_ROOTS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@dataclass(frozen=True)
class Spec:
    """A container to run. `etc` holds the pod's hosts, hostname and resolv.conf; `scratch` is this instance's own folder.

    `netns`, `ipc`, `uts` and `pid` are files of namespaces to enter; without one of the last three the container gets its own.
    `confined`: the filter of seccomp.py holds. `group` is its control group, if there are any.
    """

    key: str
    netns: Path
    image: images.Image
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    etc: Path
    scratch: Path
    layers: Path
    working_dir: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    read_only_root: bool = False
    hostname: str = "pod"
    tty: bool = False
    stdin: bool = False
    group: Group | None = None
    ipc: Path | None = None
    uts: Path | None = None
    pid: Path | None = None
    confined: bool = True


@dataclass(frozen=True)
class Host:
    """The host's programs that create a container, and the folders of the host that it sees."""

    nsenter: str
    setpriv: str
    bubblewrap: str
    # "bin" -> "usr/bin" where the host's /bin is a link, "bin" -> "" where it is a folder
    roots: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def found(cls) -> Host:
        """Find them. Raises MissingPrerequisite when one is not installed."""
        programs = {name: shutil.which(name) for name in ("nsenter", "setpriv")}
        for name, path in programs.items():
            if path is None:
                raise MissingPrerequisite(f"{name} is not installed.", next="sudo apt install util-linux")
        roots: dict[str, str] = {}
        for name in HOST_ROOTS:
            folder = Path("/") / name
            if folder.is_symlink():
                roots[name] = str(folder.readlink()).lstrip("/")
            elif folder.is_dir():
                roots[name] = ""
        return cls(str(programs["nsenter"]), str(programs["setpriv"]), str(binaries.bubblewrap()), roots)
