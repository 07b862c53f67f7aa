"""Images for kind clusters: pulled beforehand, carried in a file, loaded into the nodes.

istioctl gives the names of Istio's own images, which change between versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshcourse.backends import containers, programs
from meshcourse.backends.backend import Report
from meshcourse.backends.containers import Engine
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError
from meshcourse.engine.go_programs import KIND
from meshcourse.kube import manifests

_LIMIT = 1800.0


def of_istio(istioctl: str) -> tuple[str, ...]:
    """The images that `istioctl install` would use. Raises ClusterError."""
    return manifests.images([programs.run([istioctl, "manifest", "generate", "--set", f"profile={settings.DEFAULT_PROFILE}"], {})])


def known(engine: Engine, image: str) -> str:
    """The engine's name of `image`: with its digest as it was pulled, without as it was loaded from a file; empty when it lacks it."""
    return next((name for name in dict.fromkeys((image, plain(image))) if containers.has(engine, name)), "")


def give(cluster: str, images: Sequence[str], report: Report) -> None:
    """Load those of `images` that the engine has into the cluster's nodes. Raises ClusterError."""
    engine = containers.find()
    if here := [name for image in images if (name := known(engine, image))]:
        report(f"kind load docker-image, {len(here)} images that {engine.name} has")
        programs.run([str(KIND.ensure()), "load", "docker-image", "--name", cluster, *here], engine.environment, timeout=_LIMIT)


def pull(images: Sequence[str], report: Report) -> None:
    """Pull those that the engine lacks. Raises ClusterError with the engine's message; pulled ones stay."""
    engine = containers.find()
    for image in images:
        if not known(engine, image):
            report(f"{engine.name} pull {image}")
            try:
                programs.run([engine.program, "pull", image], {}, timeout=_LIMIT)
            except ClusterError as error:
                raise ClusterError(
                    error.what, why=error.why, next="meshcourse images make    # makes all of them on this machine"
                ) from error


def save(images: Sequence[str], file: Path) -> None:
    """Write `images` into one archive. Raises ClusterError."""
    engine = containers.find()
    for image in images:
        if plain(image) != image and not containers.has(engine, plain(image)):  # pulled by its digest, it has no tag
            name, _, digest = image.partition("@")
            programs.run([engine.program, "tag", f"{name.rpartition(':')[0]}@{digest}", name], {}, timeout=60.0)
    several = ["--multi-image-archive"] if engine.name == "podman" else []
    programs.run([engine.program, "save", *several, "--output", str(file), *(plain(image) for image in images)], {}, timeout=_LIMIT)


def restore(file: Path) -> None:
    """Load an archive's images into the engine. Raises ClusterError."""
    programs.run([containers.find().program, "load", "--input", str(file)], {}, timeout=_LIMIT)


def plain(image: str) -> str:
    """`image` without its digest where it has a tag: an archive keeps only tags."""
    name, _, digest = image.partition("@")
    return name if digest and ":" in name.rpartition("/")[2] else image
