"""Additional images from a file that MESHCOURSE_IMAGE_ROWS names: programs of this machine as images. They take precedence over the table.

The file is a JSON list of objects with fields of `Image`: names, identity, entrypoint, command, environment, user, working_dir, scripts,
stand_in; `programs` maps a path in the container to a file or folder of this machine. The variable is read when the cluster starts.
"""

from __future__ import annotations

import json
import os
from functools import cache, partial
from pathlib import Path
from typing import Any

from meshcourse.core.errors import ClusterError
from meshcourse.node.images.image import Image, Program

VARIABLE = "MESHCOURSE_IMAGE_ROWS"
_TUPLES = ("names", "entrypoint", "command", "tags")


def rows() -> tuple[Image, ...]:
    """The rows of the file; none without the variable. Raises ClusterError."""
    named = os.environ.get(VARIABLE)
    return _read(named) if named else ()


@cache
def _read(path: str) -> tuple[Image, ...]:
    try:
        return tuple(_row(each) for each in json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ClusterError(f"{VARIABLE} names {path}, which is not a list of images.", why=str(error), next=f"unset {VARIABLE}") from error


def _row(given: dict[str, Any]) -> Image:
    programs = tuple(Program(partial(Path, source), target) for target, source in given.get("programs", {}).items())
    fields: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in given.items()}
    return Image(**{**fields, "programs": programs})
