"""An image's layer: files with their mode in one compressed tar, byte for byte reproducible.

A layer is stored once, under its digest; its inputs are hashed too, so that an unchanged layer is not packed again.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A stored layer: the `digest` of the compressed tar, the `diff_id` of the tar itself (both `sha256:...`), and compressed bytes."""

    digest: str
    diff_id: str
    size: int


@dataclass(frozen=True)
class Entry:
    """One member at `path`: a file with the bytes of `source` or `content`; a `folder`, a symbolic `link`, a hard link `same_as`."""

    path: str
    mode: int = 0o644
    source: Path | None = None
    content: bytes = b""
    folder: bool = False
    link: str = ""
    same_as: str = ""

    @property
    def identity(self) -> str:
        """A text that changes with the layer's content."""
        content = _digest_of(self.source) if self.source else hashlib.sha256(self.content).hexdigest()
        return json.dumps([self.path, self.mode, content, self.folder, self.link, self.same_as])


@functools.cache
def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree(top: Path, at: str = "/") -> Iterator[Entry]:
    """Every file and link below `top`, to be placed below `at`; a file keeps whether it is executable."""
    for path in sorted(top.rglob("*")):
        target = str(PurePosixPath(at) / path.relative_to(top))
        if path.is_symlink():
            yield Entry(target, link=str(path.readlink()))
        elif path.is_file() and "__pycache__" not in path.parts:
            yield Entry(target, 0o755 if path.stat().st_mode & 0o100 else 0o644, source=path)


class Store:
    """A folder of blobs, named by their SHA-256 as in an OCI layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def blob(self, digest: str) -> Path:
        """The path of the blob `sha256:...`."""
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def add(self, content: bytes) -> str:
        """Store `content`; returns its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blob(digest).parent.mkdir(parents=True, exist_ok=True)
        with self._new(digest[7:]) as new:
            new.write_bytes(content)
            new.replace(self.blob(digest))
        return digest

    @contextlib.contextmanager
    def _new(self, name: str) -> Iterator[Path]:
        """A file to be moved to its place when it is whole; after an error or Ctrl-C it is deleted."""
        new = self.folder / f"{name}.new"
        try:
            yield new
        finally:
            new.unlink(missing_ok=True)

    def take(self, content: IO[bytes]) -> str:
        """Store all parts of `content` as one blob, atomically; returns its digest."""
        self.blob("any").parent.mkdir(parents=True, exist_ok=True)
        with self._new("taken") as new:
            with new.open("wb") as file:
                hashed = _Hashed(file)
                while data := content.read(_CHUNK):
                    hashed.write(data)
            new.replace(self.blob(hashed.digest))
        return hashed.digest

    def layer(self, entries: Sequence[Entry]) -> Layer:
        """The layer with these members; packed only when no equal one is stored."""
        key = hashlib.sha256("\n".join(entry.identity for entry in entries).encode()).hexdigest()
        return self.remembered(key, lambda tar: _pack(tar, entries))

    def remembered(self, key: str, fill: Callable[[tarfile.TarFile], object]) -> Layer:
        """The layer that was made for `key`, or else a new one, which `fill` writes, atomically."""
        note = self.folder / "layers" / f"{key}.json"
        if note.is_file():
            layer = Layer(**json.loads(note.read_text(encoding="utf-8")))
            if self.blob(layer.digest).is_file():
                return layer
        for folder in (note.parent, self.blob("any").parent):
            folder.mkdir(parents=True, exist_ok=True)
        with self._new(key) as new:
            with new.open("wb") as file:
                packed = _Hashed(file)
                with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as compressed:
                    plain = _Hashed(compressed)
                    with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK) as tar:  # type: ignore[call-overload]
                        fill(tar)
            layer = Layer(packed.digest, plain.digest, packed.size)
            new.replace(self.blob(layer.digest))
        note.write_text(json.dumps(asdict(layer)), encoding="utf-8")
        return layer


class _Hashed:
    """A file to write to, with the digest of what was written."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _pack(tar: tarfile.TarFile, entries: Iterable[Entry]) -> None:
    made: set[str] = set()
    for entry in entries:
        name = entry.path.lstrip("/")
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            if str(parent) not in made:
                made.add(str(parent))
                _member(tar, str(parent), tarfile.DIRTYPE, 0o755)
        if entry.folder:
            made.add(name)
            _member(tar, name, tarfile.DIRTYPE, entry.mode)
        elif entry.link:
            _member(tar, name, tarfile.SYMTYPE, 0o777, link=entry.link)
        elif entry.same_as:
            _member(tar, name, tarfile.LNKTYPE, entry.mode, link=entry.same_as.lstrip("/"))
        elif entry.source:
            with entry.source.open("rb") as file:
                _member(tar, name, tarfile.REGTYPE, entry.mode, file=file, size=entry.source.stat().st_size)
        else:
            _member(tar, name, tarfile.REGTYPE, entry.mode, file=io.BytesIO(entry.content), size=len(entry.content))


def _member(  # noqa: PLR0913 - fields of a tar's member
    tar: tarfile.TarFile, name: str, kind: bytes, mode: int, *, link: str = "", file: IO[bytes] | None = None, size: int = 0
) -> None:
    """Add a member that belongs to root and has no time, so that equal content gives equal bytes."""
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, link, size
    tar.addfile(member, file)


def copied(source: Path) -> Callable[[tarfile.TarFile], object]:
    """A function that fills a layer with the tar `source`: owners kept, times and device files left out."""

    def fill(tar: tarfile.TarFile) -> None:
        with tarfile.open(source) as given:
            for member in given:
                member.mtime = 0
                if not (member.isdev() or member.name.lstrip("./").startswith(("dev/", "proc/", "sys/"))):
                    tar.addfile(member, given.extractfile(member) if member.isreg() else None)

    return fill
