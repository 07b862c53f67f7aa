"""Images for kind clusters: fetched beforehand, carried in a file, put into the nodes.

What Istio's own images are called is asked of its istioctl: names change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshcourse.backends import containers, programs
from meshcourse.backends.backend import Report
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError
from meshcourse.engine import releases
from meshcourse.engine.go_programs import KIND

_LIMIT = 1800.0


def istio_manifest(version: str) -> str:
    """What `istioctl install` would apply. Raises ClusterError, EngineError."""
    words = [str(releases.istioctl(version)), "manifest", "generate", "--set", f"profile={settings.DEFAULT_PROFILE}"]
    return programs.run(words, {})


def pull(images: Sequence[str], report: Report) -> None:
    """Fetch those that the engine has not. Raises ClusterError with the engine's words; what was fetched stays."""
    engine = containers.find()
    for image in images:
        try:
            programs.run([engine.program, "image", "inspect", image], {}, timeout=60.0)
        except ClusterError:
            report(f"{engine.name} pull {image}")
            programs.run([engine.program, "pull", image], {}, timeout=_LIMIT)


def save(images: Sequence[str], file: Path) -> None:
    """Put `images` into one archive. Raises ClusterError."""
    engine = containers.find()
    several = ["--multi-image-archive"] if engine.name == "podman" else []
    programs.run([engine.program, "save", *several, "--output", str(file), *(plain(image) for image in images)], {}, timeout=_LIMIT)


def restore(file: Path) -> None:
    """Put an archive's images into the engine. Raises ClusterError."""
    programs.run([containers.find().program, "load", "--input", str(file)], {}, timeout=_LIMIT)


def load(cluster: str, images: Sequence[str]) -> None:
    """Put images of the engine into the cluster's nodes. Raises ClusterError."""
    engine = containers.find()
    words = [str(KIND.ensure()), "load", "docker-image", "--name", cluster, *images]
    programs.run(words, engine.environment, timeout=_LIMIT)


def load_archive(cluster: str, file: Path) -> None:
    """Put an archive's images into the cluster's nodes. Raises ClusterError."""
    programs.run([KIND.ensure(), "load", "image-archive", "--name", cluster, file], containers.find().environment, timeout=_LIMIT)


def plain(image: str) -> str:
    """`image` without its digest where it has a tag: an archive keeps only tags."""
    name, _, digest = image.partition("@")
    return name if digest and ":" in name.rpartition("/")[2] else image
