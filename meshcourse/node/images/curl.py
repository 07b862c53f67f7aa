"""curl: the host's curl program, under the image names that Istio's samples use, with busybox's programs as in Alpine.

Without a busybox on the host the image has curl and the host's own programs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from meshcourse.core.errors import MissingPrerequisite
from meshcourse.node.images import busybox
from meshcourse.node.images.image import Image, Program


def _curl() -> Path:
    found = shutil.which("curl")
    if not found:
        raise MissingPrerequisite("The curl image needs the host's curl, which is not installed.", next="sudo apt install curl")
    return Path(found).resolve()


def _applets() -> Mapping[str, str]:
    """Links to the host's busybox, at the host's path."""
    return dict.fromkeys(busybox.applets(), str(busybox.find())) if shutil.which("busybox") else {}


IMAGES = (
    Image(
        names=("docker.io/curlimages/curl", "quay.io/curl/curl"),
        identity="the host's curl",
        entrypoint=("/entrypoint.sh",),
        command=("curl",),
        user="100:101",
        programs=(Program(_curl, "/usr/bin/curl"),),
        tree="curl",
        links=_applets,
    ),
)
