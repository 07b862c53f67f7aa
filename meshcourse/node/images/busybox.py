"""busybox and images based on it: the host's busybox program, with a link for each of its applets over the host's /usr/bin."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from meshcourse.core.errors import MissingPrerequisite
from meshcourse.node.images.image import Image, Program

HOME = "/usr/lib/busybox/busybox"
# The sandbox runs the host's setpriv inside the container; busybox's own takes fewer options.
_KEPT = frozenset({"busybox", "setpriv"})


def find() -> Path:
    """The host's busybox. Raises MissingPrerequisite."""
    found = shutil.which("busybox")
    if not found:
        raise MissingPrerequisite("The busybox image needs the host's busybox, which is not installed.", next="sudo apt install busybox")
    return Path(found).resolve()


def applets() -> Mapping[str, str]:
    """A link for each applet. Raises MissingPrerequisite."""
    listed = subprocess.run([str(find()), "--list"], check=True, capture_output=True, text=True).stdout.split()
    return {f"/usr/bin/{applet}": HOME for applet in listed if applet not in _KEPT}


# Debian's ash drops variables whose names are no identifiers, which upstream's keeps and a ConfigMap's key (a.conf) often is.
KEEPS = "/usr/bin/bash"

PROGRAMS = (Program(find, HOME), Program(find, "/usr/bin/busybox"))

IMAGES = (
    Image(
        names=("docker.io/library/busybox", "registry.k8s.io/busybox", "k8s.gcr.io/busybox", "registry.k8s.io/e2e-test-images/busybox"),
        identity="the host's busybox",
        command=("sh",),
        programs=PROGRAMS,
        links=applets,
        shell_that_keeps=KEEPS,
    ),
    Image(
        names=("docker.io/library/alpine",),
        identity="the host's busybox",
        command=("/bin/sh",),
        programs=PROGRAMS,
        links=applets,
        shell_that_keeps=KEEPS,
        stand_in="the host's busybox, as Alpine's programs are one; no apk, no packages of Alpine",
    ),
)
