"""The images that have been pulled: one folder for each digest below the user's cache, whole or absent.

images/                 only its owner may enter: a foreign image may hold set-user-id programs
<64 hex digits>/      root/ (the flattened files) and image.json (the config, size and time of one digest)
<64 hex digits>.part/ a pull under way or interrupted: the next one starts over
names/<reference>     the digest that a reference meant when it was last pulled
locks/<64 hex digits> exclusive for pulls and deletions, shared by all nodes whose containers use it
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from meshcourse.core import files, paths
from meshcourse.node.images.image import Image

_ALGORITHM: Final = "sha256:"
_DIGITS: Final = 64


@dataclass(frozen=True)
class Pulled:
    """One pulled image. `config` is the OCI config file; `size` is in bytes, unpacked; `time` is Unix time in seconds."""

    digest: str
    config: Mapping[str, Any]
    size: int
    time: float

    def image(self, repository: str) -> Image:
        """The image of a container; `imageID` is the repository with the digest, as in other runtimes.

        Source: the OCI image specification, "config.md".
        """
        said: Mapping[str, Any] = self.config.get("config") or {}
        return Image(
            names=(repository,),
            identity=f"{repository}@{self.digest}",
            entrypoint=tuple(said.get("Entrypoint") or ()),
            command=tuple(said.get("Cmd") or ()),
            environment=dict(each.split("=", 1) for each in said.get("Env") or () if "=" in each),
            user=said.get("User") or "",
            working_dir=said.get("WorkingDir") or "/",
            stop_signal=said.get("StopSignal") or "",
            root=_folder(self.digest) / "root",
        )


def home() -> Path:
    """The folder of the images."""
    return paths.cache() / "images"


def named(reference: str) -> Pulled | None:
    """The pulled image of `reference` (a repository with a tag or a digest), if there is one."""
    digest = reference.partition("@")[2]
    if not digest:
        try:
            digest = _name(reference).read_text(encoding="ascii").strip()
        except OSError:
            return None
    return find(digest)


def is_digest(text: str) -> bool:
    """Whether this is a digest, which becomes the name of a folder: pods may name anything."""
    digits = text.removeprefix(_ALGORITHM)
    return digits != text and len(digits) == _DIGITS and not digits.strip("0123456789abcdef")


def find(digest: str) -> Pulled | None:
    """The image with this digest, if it is stored."""
    if not is_digest(digest):
        return None
    try:
        return Pulled(**json.loads((_folder(digest) / "image.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def listed() -> tuple[tuple[tuple[str, ...], Pulled], ...]:
    """All images, each with the references that mean it now, the oldest first."""
    meaning: dict[str, list[str]] = {}
    for name in sorted((home() / "names").glob("[!.]*")):
        meaning.setdefault(name.read_text(encoding="ascii").strip(), []).append(unquote(name.name))
    there = [found for folder in home().glob("*/image.json") if (found := find(_ALGORITHM + folder.parent.name))]
    return tuple((tuple(meaning.get(each.digest, ())), each) for each in sorted(there, key=lambda each: each.time))


def name(reference: str, digest: str) -> None:
    """Record what `reference` means now."""
    path = _name(reference)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, digest)


def begin(digest: str) -> Path:
    """Create the empty folder into which this digest's files are to be unpacked. Its lock must be held exclusively."""
    partial = _folder(digest).with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "root").mkdir(parents=True)
    (partial / "root").chmod(0o755)
    return partial / "root"


def complete(digest: str, config: Mapping[str, Any], size: int) -> None:
    """Mark the files as complete: from now on the image exists."""
    partial = _folder(digest).with_suffix(".part")
    record = {"digest": digest, "config": config, "size": size, "time": time.time()}
    (partial / "image.json").write_text(json.dumps(record), encoding="utf-8")
    partial.rename(_folder(digest))


def hold(digest: str, *, alone: bool = False, wait: bool = True) -> int:
    """Lock a digest, for as long as the returned descriptor stays open. Blocks, unless `wait` is False: then BlockingIOError."""
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    (home() / "locks").mkdir(exist_ok=True)
    return files.lock(home() / "locks" / digest.removeprefix(_ALGORITHM), shared=not alone, wait=wait)


def prune() -> tuple[int, int]:
    """Delete all images that no running cluster uses, and the rest of interrupted pulls. Returns the bytes freed and the images kept.

    Run it as root of the user's namespace: some files belong to other owners.
    """
    freed = kept = 0
    for digest in sorted({folder.stem for folder in home().glob("*") if len(folder.stem) == _DIGITS}):
        with contextlib.ExitStack() as held:
            try:
                held.callback(os.close, hold(digest, alone=True, wait=False))
            except BlockingIOError:
                kept += 1
                continue
            for folder in (home() / digest, (home() / digest).with_suffix(".part")):
                freed += sum(_sizes(folder))
                (folder / "image.json").unlink(missing_ok=True)  # first: half an image is none
                shutil.rmtree(folder, ignore_errors=True)
    for reference in (home() / "names").glob("[!.]*"):
        if find(reference.read_text(encoding="ascii").strip()) is None:
            reference.unlink()
    return freed, kept


def _sizes(folder: Path) -> Iterator[int]:
    for where, _, names in os.walk(folder):
        for each in names:
            found = Path(where, each).lstat()
            yield found.st_size // found.st_nlink


def _folder(digest: str) -> Path:
    return home() / digest.removeprefix(_ALGORITHM)


def _name(reference: str) -> Path:
    return home() / "names" / quote(reference, safe="")
