"""Images in one file: written so that every container engine can load it, and read back into a store."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from meshcourse.core.errors import ClusterError
from meshcourse.imagemaking import oci
from meshcourse.imagemaking.layers import Store


def write(store: Store, images: Sequence[oci.Stored], file: Path, notes: Mapping[str, bytes] | None = None) -> None:
    """Write `images` as one archive, atomically; `notes` are further small files at its top. Raises ClusterError."""
    small = {"oci-layout": oci.LAYOUT, "index.json": oci.index(images), "manifest.json": oci.docker_manifest(images), **(notes or {})}
    new = file.with_name(f"{file.name}.new")
    try:
        with tarfile.open(new, "w") as tar:
            for name, content in small.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
            for digest in dict.fromkeys(blob for image in images for blob in image.blobs):
                tar.add(store.blob(digest), arcname=f"blobs/sha256/{digest.removeprefix('sha256:')}", filter=_plain)
        new.replace(file)
    except OSError as error:
        raise ClusterError(f"The archive {file} cannot be written.", why=str(error), next=f"df -h {file.parent}") from error
    finally:  # after an error or Ctrl-C
        new.unlink(missing_ok=True)


def note(file: Path, name: str) -> bytes | None:
    """The small file `name` at the beginning of an archive, or None when it is not one of `write`."""
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                if member.name == name and (found := tar.extractfile(member)):
                    return found.read()
                if member.name.startswith("blobs/"):
                    break
    except (OSError, tarfile.TarError):
        return None
    return None


def restore(file: Path, store: Store) -> None:
    """Store every blob of the archive after checking its digest. Raises ClusterError."""
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name.startswith("blobs/sha256/") else None
                if content is not None and not store.blob(f"sha256:{Path(member.name).name}").is_file():
                    found = store.take(content)
                    if found != f"sha256:{Path(member.name).name}":
                        raise ClusterError(
                            f"{file} is damaged.",
                            why=f"the content of {member.name} does not match its digest",
                            next="download the file again",
                        )
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ClusterError(f"{file} cannot be read as an archive of images.", why=str(error), next="download the file again") from error


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
