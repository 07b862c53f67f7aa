"""The volumes of one pod: folders on the node, filled, updated, and bound into its containers.

emptyDir is a plain folder, also with `medium: Memory` (all of it is memory); sizeLimit is not enforced. Changes of a ConfigMap, a Secret or
the pod's labels reach the files at once, where a kubelet takes up to a minute and a half; subPath mounts never change, as in a kubelet.
A hostPath, and a claim's volume, is a folder of the node, which has files of its own. Network volumes are refused with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import posixpath
import shutil
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from meshcourse.node.api import ApiError
from meshcourse.node.not_yet import NotYet
from meshcourse.node.spec import environment
from meshcourse.node.volume import atomic_writer, claims, node_files, tokens
from meshcourse.node.volume import sources as volume_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api
    from meshcourse.node.object_cache import Change, Objects
    from meshcourse.node.volume.image_volumes import ImageVolumes

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 10.0
_LOOK_AT_CLOCK_SECONDS = 15.0  # after a laptop's sleep: the event loop's clock stood still, the tokens' did not


@dataclass(frozen=True)
class Mount:
    """Show `source` (a folder or a file of the node) at `target` in a container.

    `within`: pods may write below this folder, so that no link between it and `source` may be followed any more.
    """

    source: Path
    target: str
    read_only: bool
    within: Path | None = None


class Volumes:
    """One pod's volumes in `root`/volumes, and those of the node's `files` that it names.

    `on_failure` is called with (reason, message) when a later update cannot be written.
    """

    def __init__(
        self,
        api: Api,
        objects: Objects,
        root: Path,
        files: Path,
        images: ImageVolumes,
        on_failure: Callable[[str, str], None] | None = None,
    ) -> None:
        self._api = api
        self._objects = objects
        self._images = images
        self._files = files
        self._of_node: dict[str, Path] = {}
        self._folder = root / "volumes"
        self._on_failure = on_failure
        self._tokens = tokens.Tokens(api)
        self._pod: Json = {}
        self._volumes: dict[str, Json] = {}
        self._written: dict[str, dict[str, atomic_writer.File]] = {}
        self._changed = asyncio.Event()

    async def prepare(self, pod: Json) -> None:
        """Create and fill every volume that a container mounts. Safe to call again; raises NotYet."""
        self._pod = pod
        used = {mount["name"] for container in _containers(pod) for mount in container.get("volumeMounts") or []}
        self._volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or [] if volume["name"] in used}
        for volume in self._volumes.values():
            _check(volume)
        for volume in self._volumes.values():
            await self._prepare_one(volume)

    async def run(self) -> None:
        """Update the files until cancelled."""
        async with self._objects.subscribe() as changes, asyncio.TaskGroup() as group:
            group.create_task(self._listen(changes), name="volume changes")
            while True:  # at once for the first time: changes since `prepare` were not noticed
                self._changed.clear()
                await self._until(await self._update())

    def pod_changed(self, pod: Json) -> None:
        """Apply the pod's new labels and annotations."""
        self._pod = pod
        self._changed.set()

    def mounts(self, container: Json, env: Mapping[str, str] | None = None) -> tuple[Mount, ...]:
        """The container's mounts, outer ones first. `env` is for subPathExpr. Raises NotYet (CreateContainerConfigError)."""
        found = [each for mount in container.get("volumeMounts") or [] for each in self._mounts_of(mount, container, env or {})]
        return tuple(sorted(found, key=lambda mount: len(PurePosixPath(mount.target).parts)))

    def remove(self) -> None:
        """Delete all volumes with what is in them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _prepare_one(self, volume: Json) -> None:
        name, kind = volume["name"], volume_sources.kind_of(volume)
        try:
            if kind == "image":
                await self._images.find(volume)
                return
            if kind == "hostPath" or kind in claims.KINDS:
                await self._find(volume)
                return
            folder = self._create(volume)
            if volume_sources.kind_of(volume) in volume_sources.WRITTEN:
                await self._fill(volume, folder)
        except NotYet as error:
            raise _mount_failed(name, f"{error.reason}: {error.message}") from error
        except volume_sources.Unavailable as error:
            raise _mount_failed(name, str(error)) from error
        except ApiError as error:
            raise _mount_failed(name, f"failed to fetch {'claim' if kind in claims.KINDS else 'token'}: {error.what}") from error
        except (OSError, ValueError) as error:  # a full disk, a gid that this user namespace does not map, a path with `..`
            raise _mount_failed(name, str(error)) from error

    async def _find(self, volume: Json) -> None:
        """Find what the node has for a volume, once."""
        if volume["name"] in self._of_node:
            return
        source = volume["hostPath"] if "hostPath" in volume else await claims.source_of(volume, self._pod, self._api)
        found = await asyncio.to_thread(node_files.find, self._files, source)
        self._of_node[volume["name"]] = found
        group = volume_sources.fs_group(self._pod)
        if "hostPath" not in volume and group is not None:
            await asyncio.to_thread(atomic_writer.give_to_group, found, group, read_only=False)
        for inner in _inner_mount_points(volume["name"], self._pod) if found.is_dir() else ():
            (found / inner).mkdir(parents=True, exist_ok=True)

    def _create(self, volume: Json) -> Path:
        folder: Path = self._folder / volume["name"]
        if folder.is_dir():
            return folder
        self._folder.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        folder.chmod(0o777)  # any user of any container may write an emptyDir; the others are bound read-only
        for inner in _inner_mount_points(volume["name"], self._pod):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        group = volume_sources.fs_group(self._pod)
        if group is not None:
            try:
                atomic_writer.give_to_group(folder, group, read_only=volume_sources.kind_of(volume) in volume_sources.WRITTEN)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)  # so that a retry sets it up again
                raise
        return folder

    async def _fill(self, volume: Json, folder: Path) -> None:
        texts = {wanted: (await self._tokens.get(self._pod, wanted)).text for wanted in volume_sources.tokens_wanted(volume)}
        files = volume_sources.files(volume, self._pod, self._objects, texts)
        if self._written.get(volume["name"]) != files:
            atomic_writer.write(folder, files, group=volume_sources.fs_group(self._pod))
            self._written[volume["name"]] = files

    async def _listen(self, changes: asyncio.Queue[Change]) -> None:
        namespace = self._pod["metadata"]["namespace"]
        names = {reference for volume in self._volumes.values() for reference in volume_sources.references(volume)}
        while True:
            kind, where, name = await changes.get()
            if where == namespace and (kind, name) in names:
                self._changed.set()

    async def _until(self, due: float | None) -> None:
        """Return when something has changed, or at the wall-clock time `due`."""
        while not self._changed.is_set() and (due is None or time.time() < due):
            seconds = None if due is None else min(due - time.time(), _LOOK_AT_CLOCK_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):  # not wait_for: in Python 3.11 it can swallow a cancellation
                    await self._changed.wait()

    async def _update(self) -> float | None:
        """Write what has changed; returns when to check again without a change."""
        failed = False
        for volume in self._volumes.values():
            try:
                await self._prepare_one(volume)
            except NotYet as error:  # the files stay as they were, as in a kubelet
                failed = True
                _log.info("pod %s: %s", self._pod["metadata"]["name"], error.message)
                if self._on_failure is not None:
                    self._on_failure(error.reason, error.message)
        if failed:
            return time.time() + _AGAIN_SECONDS
        renewal = self._tokens.next_renewal
        return None if renewal is None else max(renewal, time.time() + _AGAIN_SECONDS)

    def _mounts_of(self, mount: Json, container: Json, env: Mapping[str, str]) -> tuple[Mount, ...]:
        volume = self._volumes[mount["name"]]
        folder: Path = self._of_node.get(mount["name"], self._folder / mount["name"])
        inner = mount.get("subPath", "")
        if "subPathExpr" in mount:
            inner = environment.expand(mount["subPathExpr"], env)
        if volume_sources.kind_of(volume) == "image":
            target = absolute(mount["mountPath"])
            try:
                return tuple(
                    Mount(each, absolute(f"{target}/{at}"), read_only=True) for each, at in self._images.parts(mount["name"], inner)
                )
            except OSError as error:
                raise NotYet("CreateContainerConfigError", f"failed to prepare {_of(mount, container)}: {error}") from error
        source = self._inside(folder, inner, mount, container) if inner else folder
        written = volume_sources.kind_of(volume) in volume_sources.WRITTEN
        read_only = written or bool(mount.get("readOnly")) or bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
        within = self._files if mount["name"] in self._of_node else folder if inner else None
        return (Mount(source, absolute(mount["mountPath"]), read_only, within),)

    def _inside(self, folder: Path, inner: str, mount: Json, container: Json) -> Path:
        """The real path of a subPath, created as a folder if necessary. A link in the volume must not lead out of it."""
        where = _of(mount, container)
        if inner.startswith("/") or ".." in PurePosixPath(inner).parts:
            raise NotYet("CreateContainerConfigError", f"failed to prepare {where}: {inner} must stay inside the volume")
        volume = folder.resolve()
        try:
            real: Path = (folder / inner).resolve()
            if real.is_relative_to(volume) and not real.exists():
                mode = folder.stat().st_mode & 0o7777
                for parent in [*reversed(real.relative_to(volume).parents), real.relative_to(volume)]:
                    if not (volume / parent).exists():
                        (volume / parent).mkdir()
                        (volume / parent).chmod(mode)
        except (OSError, RuntimeError) as error:
            raise NotYet("CreateContainerConfigError", f"failed to create {where}") from error
        if not real.is_relative_to(volume):
            raise NotYet("CreateContainerConfigError", f"failed to prepare {where}")
        return real


def absolute(path: str) -> str:
    """A path inside a container without its `..`, which must not lead out on the node either: the API server lets them pass.

    >>> absolute("/data/../../etc/x"), absolute("logs")
    ('/etc/x', '/logs')
    """
    return posixpath.normpath("/" + path.lstrip("/"))


def _containers(pod: Json) -> Iterator[Json]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod["spec"].get(key) or []


def _inner_mount_points(name: str, pod: Json) -> set[str]:
    """The folders that this volume needs because another one is mounted inside it."""
    found: set[str] = set()
    for container in _containers(pod):
        mounts = container.get("volumeMounts") or []
        outer = [PurePosixPath(absolute(mount["mountPath"])) for mount in mounts if mount["name"] == name and not mount.get("subPath")]
        paths = [PurePosixPath(absolute(mount["mountPath"])) for mount in mounts]
        found |= {str(path.relative_to(base)) for base in outer for path in paths if path != base and path.is_relative_to(base)}
    return found


def _check(volume: Json) -> None:
    """Refuse volumes that this node cannot mount at all."""
    kind, name = volume_sources.kind_of(volume), volume["name"]
    if kind in volume_sources.WRITTEN:
        sources = volume[kind].get("sources") or [] if kind == "projected" else []
        kinds = [key for source in sources for key in source if key not in volume_sources.PROJECTED]
        if not kinds:
            return
        kind = f"projected {kinds[0]}"
    elif kind == "emptyDir":
        medium = (volume[kind] or {}).get("medium", "")
        if not medium.startswith("HugePages"):
            return
        kind = "HugePages emptyDir"
    elif kind in ("hostPath", "image") or kind in claims.KINDS:
        return
    raise NotYet(
        "FailedMount",
        f'MountVolume.SetUp failed for volume "{name}" : the embedded node has no {kind} volumes, only emptyDir, configMap, secret, '
        "downwardAPI, projected, hostPath, image and persistentVolumeClaim ones; the kind backend runs a full kubelet, which has them",
        for_good=True,
    )


def _of(mount: Json, container: Json) -> str:
    return f'subPath for volumeMount "{mount["name"]}" of container "{container["name"]}"'


def _mount_failed(name: str, why: str) -> NotYet:
    return NotYet("FailedMount", f'MountVolume.SetUp failed for volume "{name}" : {why}')
