"""OCI images by the specification: an image's config, its manifest, and an index of many. Pure but for the store of blobs.

An archive of an index works in every engine: it has the OCI layout for newer ones and Docker's manifest.json for older ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from meshcourse.engine import binaries
from meshcourse.imagemaking.layers import Layer, Store

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAYOUT: Final = b'{"imageLayoutVersion": "1.0.0"}'
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_CREATED: Final = "2026-01-01T00:00:00Z"
"""The same time in all images, so that equal content has an equal digest."""


@dataclass(frozen=True)
class Image:
    """An image: its layers, lowest first, and the command of its containers. `references` are all its names, each with registry and tag."""

    references: tuple[str, ...]
    layers: tuple[Layer, ...]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = "/"
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Compressed bytes."""
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True)
class Stored:
    """An image in a store: the digests of its manifest and config, and its size in compressed bytes."""

    references: tuple[str, ...]
    manifest: str
    manifest_size: int
    config: str
    layers: tuple[str, ...]
    size: int
    title: str = ""

    @property
    def blobs(self) -> tuple[str, ...]:
        """Every blob of the image."""
        return (self.manifest, self.config, *self.layers)


def config(image: Image) -> dict[str, Any]:
    """The image's config, in the specification's form."""
    run = {
        "Env": [f"{name}={value}" for name, value in {"PATH": PATH, **image.environment}.items()],
        "Entrypoint": list(image.entrypoint),
        "Cmd": list(image.command),
        "User": image.user,
        "WorkingDir": image.working_dir,
        "StopSignal": image.stop_signal,
        "Labels": dict(image.labels),
    }
    return {
        "architecture": binaries.architecture(),
        "os": "linux",
        "created": _CREATED,
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
        "history": [{"created": _CREATED, "created_by": "meshcourse images make"} for _ in image.layers],
    }


def put(store: Store, image: Image) -> Stored:
    """Store the image's config and manifest beside its layers."""
    inner = json.dumps(config(image)).encode()
    digest = store.add(inner)
    layers = [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size} for layer in image.layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": digest, "size": len(inner)},
        "layers": layers,
        "annotations": dict(image.labels),
    }
    outer = json.dumps(manifest).encode()
    title = image.labels.get("org.opencontainers.image.title", "")
    return Stored(image.references, store.add(outer), len(outer), digest, tuple(layer.digest for layer in image.layers), image.size, title)


def index(images: Iterable[Stored]) -> bytes:
    """An OCI index with one entry for each reference, named as containerd and the specification name them."""
    entries = [
        {
            "mediaType": _MANIFEST,
            "digest": image.manifest,
            "size": image.manifest_size,
            "platform": {"architecture": binaries.architecture(), "os": "linux"},
            "annotations": {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference},
        }
        for image in images
        for reference in image.references
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}).encode()


def docker_manifest(images: Iterable[Stored]) -> bytes:
    """manifest.json of a `docker save` archive, with the blobs where the OCI layout has them."""

    def path(digest: str) -> str:
        return f"blobs/sha256/{digest.removeprefix('sha256:')}"

    rows = [
        {"Config": path(image.config), "RepoTags": list(image.references), "Layers": [path(layer) for layer in image.layers]}
        for image in images
    ]
    return json.dumps(rows).encode()
