"""Image volumes: the files of one image, read-only, in a container that runs another.

Of a row of the table these are its own files and programs, without this machine's /usr that its containers also see; of a pulled image all.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from meshcourse.core.errors import ClusterError
from meshcourse.node import images
from meshcourse.node.images.passwd import inside

if TYPE_CHECKING:
    from pathlib import Path

    from meshcourse.core.json_types import Json
    from meshcourse.node.images import Image
    from meshcourse.node.pulling.pull_policy import PullPolicy, Tell


class ImageVolumes:
    """Those of one pod. `layers` is the folder of the table's layers; `tell` records an event about the pod."""

    def __init__(self, pull_policy: PullPolicy, layers: Path, tell: Tell) -> None:
        self._pull_policy = pull_policy
        self._layers = layers
        self._tell = tell
        self._images: dict[str, Image] = {}

    async def find(self, volume: Json) -> None:
        """Find a volume's image, once; it is pulled where images are. Raises NotYet."""
        if volume["name"] not in self._images:
            source = volume["image"]
            policy = source.get("pullPolicy") or "IfNotPresent"
            self._images[volume["name"]] = await self._pull_policy.get(source["reference"], policy, self._tell, lambda _text: None)

    def parts(self, name: str, inner: str) -> list[tuple[Path, str]]:
        """What to mount for the path `inner` of a volume: sources, and where each belongs below the mount's target, outer ones first.

        Raises:
            OSError: the image has no such file.
        """
        return parts(self._images[name], self._layers, inner)


def parts(image: Image, layers: Path, inner: str) -> list[tuple[Path, str]]:
    """Give the sources for the path `inner` of an image. Raises OSError."""
    root = image.root or images.ensure_layer(layers, image)
    try:
        found = inside(root, inner)
    except ClusterError as error:
        raise OSError(str(error)) from error
    path = PurePosixPath("/") / found.relative_to(root)
    below: list[tuple[Path, str]] = []
    for program in image.programs if image.root is None else ():
        target = PurePosixPath(program.target)
        if path.is_relative_to(target):
            found = program.find() / path.relative_to(target)
        elif target.is_relative_to(path):
            below.append((program.find(), str(target.relative_to(path))))
    if not found.exists():
        raise FileNotFoundError(f"{inner}: no such file in image {image.name}")
    return [(found, ""), *below]
