"""fortio, the load generator of Istio's samples, with its image's paths (/usr/bin/fortio, data in /var/lib/fortio)."""

from __future__ import annotations

from meshcourse.engine import binaries
from meshcourse.node.images.image import Image, Program

IMAGES = (
    Image(
        names=("docker.io/fortio/fortio",),
        identity="fortio",
        entrypoint=("/usr/bin/fortio",),
        command=("server",),
        working_dir="/var/lib/fortio",
        programs=(Program(lambda: binaries.program("fortio"), "/usr/bin/fortio"),),
        folders={"/var/lib/fortio": 0o777},
    ),
)
