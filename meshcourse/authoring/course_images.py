"""The container images that the course's chapters name, for whoever must have them before a lesson begins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from meshcourse.course import chapters

_IMAGE: Final = re.compile(r"^\s*(?:-\s+)?\"?image\"?:\s*\"?([^\s\",]+)\"?\s*$", re.MULTILINE)


def of_chapters(folder: Path | None = None) -> tuple[str, ...]:
    """Images of every manifest below `folder` (the course's own by default). Raises CourseError when it is not there."""
    manifests = sorted(((folder or chapters.folder()) / "manifests").rglob("*.yaml"))
    return named(path.read_text(encoding="utf-8") for path in manifests)


def named(texts: Iterable[str]) -> tuple[str, ...]:
    """Images that YAML texts name, `auto` (Istio's own word in a gateway's pod) left out."""
    found = (name for text in texts for name in _IMAGE.findall(text))
    return tuple(sorted({name for name in found if name != "auto"}))
