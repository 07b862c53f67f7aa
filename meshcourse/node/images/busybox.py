"""busybox: the host's busybox program, with a link for each of its applets over the host's /usr/bin."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from meshcourse.core.errors import MissingPrerequisite
from meshcourse.node.images.image import Image, Program


def _busybox() -> Path:
    found = shutil.which("busybox")
    if not found:
        raise MissingPrerequisite("The busybox image needs the host's busybox, which is not installed.", next="sudo apt install busybox")
    return Path(found).resolve()


# The sandbox runs the host's setpriv inside the container; busybox's own takes fewer options.
_KEPT = frozenset({"busybox", "setpriv"})


def _applets() -> Mapping[str, str]:
    listed = subprocess.run([str(_busybox()), "--list"], check=True, capture_output=True, text=True).stdout.split()
    return {f"/usr/bin/{applet}": "/usr/lib/busybox/busybox" for applet in listed if applet not in _KEPT}


IMAGES = (
    Image(
        names=("docker.io/library/busybox",),
        identity="the host's busybox",
        command=("sh",),
        programs=(Program(_busybox, "/usr/lib/busybox/busybox"), Program(_busybox, "/usr/bin/busybox")),
        links=_applets,
    ),
)
