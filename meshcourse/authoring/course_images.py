"""The container images that the course's chapters name, for backends that load them before a lesson."""

from __future__ import annotations

from pathlib import Path

from meshcourse.course import chapters
from meshcourse.kube.manifests import images


def of_chapters(folder: Path | None = None) -> tuple[str, ...]:
    """Images of every manifest below `folder` (the course's own by default). Raises CourseError when it is not there."""
    manifests = sorted(((folder or chapters.folder()) / "manifests").rglob("*.yaml"))
    return images(path.read_text(encoding="utf-8") for path in manifests)
