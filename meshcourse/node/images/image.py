"""An image on this node: its config, and its files: a few over the host's /usr, or a whole root.

A row of the table pulls no bytes. `stand_in` is empty when the program is the real one; otherwise it names what runs in its place, and
`meshcourse images` and the pod's `imageID` show it. A pulled image (pulling/store.py) has a `root` instead.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FILES = Path(__file__).parent / "files"
# Containers are prepared in threads; the first two of one image may start at the same time.
_building = threading.Lock()


@dataclass(frozen=True)
class Program:
    """A program, or a folder, that is bind-mounted read-only, so that every container shares its pages: source and target."""

    find: Callable[[], Path]
    target: str


@dataclass(frozen=True)
class Image:
    """One row of the table, or a pulled image.

    `names` are repositories without a tag ("docker.io/library/nginx"); `tags`, when not empty, are the only
    version prefixes that this row serves. `tree` is a folder under images/files copied into the layer;
    `links` are symbolic links (path -> destination); `scripts` are executable files (path -> text);
    `folders` are made with their mode, and owned by `owner`.
    `part_of` is "cluster" or "istio" for images that the table serves even where images are pulled. `root` is the folder of a pulled
    image: its containers see that and nothing of the host. `shell_that_keeps` is this machine's shell that replaces sh in a container with
    variables whose names are no identifiers (FOO.BAR), which this row's own sh would drop.
    """

    names: tuple[str, ...]
    identity: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = "/"
    programs: tuple[Program, ...] = ()
    tree: str = ""
    links: Callable[[], Mapping[str, str]] = dict
    folders: Mapping[str, int] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    stand_in: str = ""
    part_of: str = ""
    stop_signal: str = ""
    shell_that_keeps: str = ""
    root: Path | None = None

    @property
    def name(self) -> str:
        """The first name, shown in the table."""
        return self.names[0]

    @property
    def own_programs(self) -> tuple[str, ...]:
        """The names of the image's own programs; a container of the table also has this machine's."""
        paths = [*self.entrypoint[:1], *self.scripts, *(each.target for each in self.programs if "/bin/" in each.target)]
        return tuple(dict.fromkeys(path.rpartition("/")[2] for path in paths))

    @property
    def told_when_absent(self) -> str:
        """The message about a program that a container of this row lacks; empty for a pulled image."""
        if self.root is not None:
            return ""
        stands = f"stands in for it: {self.stand_in}" if self.stand_in else f"serves it: {self.identity}"
        programs = ", ".join(self.own_programs) or "none of its own"
        return f"(image {self.name}: a row of `meshcourse images` {stands}. Its programs: {programs}; the others are this machine's)"


def layer_path(layers: Path, image: Image) -> Path:
    """The folder of an image's small files, written or not."""
    return layers / image.name.replace("/", "_")


def ensure_layer(layers: Path, image: Image) -> Path:
    """The folder of an image's small files, written first if it is not there yet."""
    layer = layer_path(layers, image)
    with _building:
        if not layer.exists():
            build_layer(image, layer)
    return layer


def build_layer(image: Image, layer: Path) -> None:
    """Write `image`'s small files, and empty mount points for its programs, into the new folder `layer`.

    A mount point must be in one of our layers: inside a user namespace the host's /usr has no mapped owner, and overlayfs takes a merged
    folder's owner from the topmost layer that has it.
    """
    partial = layer.with_name(layer.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if image.tree:
        shutil.copytree(FILES / image.tree, partial, dirs_exist_ok=True)
    for folder, mode in image.folders.items():
        path = partial / folder.lstrip("/")
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
    for script, text in image.scripts.items():
        path = partial / script.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    for link, destination in image.links().items():
        path = partial / link.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(destination)
    for program in image.programs:
        path = partial / program.target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if program.find().is_dir():
            path.mkdir(exist_ok=True)
        else:
            path.touch(mode=0o755)
    partial.rename(layer)
