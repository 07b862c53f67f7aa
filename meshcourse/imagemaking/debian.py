"""Root file systems of Debian's packages, made by mmdebstrap: as root, or as an ordinary user with subordinate ids.

They are cached; `meshcourse images make --fresh` takes newer packages. MESHCOURSE_DEBIAN_MIRROR names a mirror.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core import progress
from meshcourse.core.errors import EngineError, MissingPrerequisite
from meshcourse.imagemaking.layers import Layer, Store, copied

SUITE: Final = "bookworm"
"""Debian 12: its systemd still runs on a host with cgroup v1, Debian 13's does not."""
MIRROR: Final = "http://deb.debian.org/debian"
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_LIMIT: Final = 1200.0


@dataclass(frozen=True)
class Root:
    """Debian's smallest system with `packages`; `script` is run by sh inside it at the end."""

    name: str
    packages: tuple[str, ...]
    script: str = ""

    @property
    def key(self) -> str:
        """Changes with the packages and the script."""
        return hashlib.sha256("\n".join((SUITE, *_LEFT_OUT, *self.packages, self.script)).encode()).hexdigest()


def layer(store: Store, root: Root) -> Layer:
    """`root` as a layer, made when it does not exist yet. Raises EngineError, MissingPrerequisite."""
    return store.remembered(root.key, lambda tar: _made(root, tar))


def _made(root: Root, tar: object) -> None:
    program = shutil.which("mmdebstrap")
    if program is None:
        raise MissingPrerequisite(
            "mmdebstrap is not installed on this machine.",
            why="it builds the images from Debian's packages",
            next="sudo apt install mmdebstrap    # Debian, Ubuntu; elsewhere: meshcourse images load FILE",
        )
    with tempfile.TemporaryDirectory(prefix="meshcourse-") as folder, progress.step(f"Fetching Debian's packages: {root.name}"):
        file = Path(folder) / "root.tar"
        argv = [program, "--quiet", "--variant=minbase", f"--include={','.join(root.packages)}"]
        argv += [f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT]
        argv += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        argv += [f"--customize-hook=chroot \"$1\" sh -euc '{root.script}'"] if root.script else []
        argv += [SUITE, str(file), os.environ.get("MESHCOURSE_DEBIAN_MIRROR") or MIRROR]
        done = subprocess.run(
            argv,
            env={**os.environ, "SOURCE_DATE_EPOCH": "0", "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
        if done.returncode:
            raise failure(done.stderr)
        copied(file)(tar)  # type: ignore[arg-type]


def failure(output: str) -> EngineError:
    """The error for a failed mmdebstrap, by its output, with what to type next."""
    lines = [line for line in output.splitlines() if line.strip()]
    signs = (
        ("No space left on device", "df -h /tmp    # TMPDIR sets another folder"),
        ("newuidmap", "sudo apt install uidmap    # or make the images as root"),
        ("subuid", "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER    # or make the images as root"),
        ("NO_PUBKEY", "sudo apt install debian-archive-keyring"),
        ("Could not resolve", "MESHCOURSE_DEBIAN_MIRROR=http://a.mirror.of.yours/debian meshcourse images make"),
        ("Failed to fetch", "MESHCOURSE_DEBIAN_MIRROR=http://a.mirror.of.yours/debian meshcourse images make"),
    )
    next_step = next((command for sign, command in signs if sign in output), "meshcourse images make    # try again")
    return EngineError(
        "A root file system could not be made from Debian's packages.",
        why="\n  ".join(["mmdebstrap printed:", *lines[-6:]]),
        next=next_step,
    )
