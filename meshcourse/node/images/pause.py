"""pause: a program that waits for its end, here the host's `sleep infinity`."""

from __future__ import annotations

from meshcourse.node.images.image import Image

IMAGES = (
    Image(
        names=("registry.k8s.io/pause", "k8s.gcr.io/pause", "gcr.io/google_containers/pause"),
        identity="the host's sleep",
        entrypoint=("/pause",),
        scripts={"/pause": "#!/bin/sh\nexec sleep infinity\n"},
        user="65535:65535",
        stand_in="`sleep infinity` of this machine answers for it",
    ),
)
