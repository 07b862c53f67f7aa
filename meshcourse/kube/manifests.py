"""Read YAML manifests; for broken YAML the message shows the line and points at the place.

Pure, except that `load` reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from meshcourse.core import errors
from meshcourse.core.json_types import Json

_MERGE: Final = "<<"
_TWICE: Final = "the same key is there twice"
_IMAGE: Final = re.compile(r"^\s*(?:-\s+)?\"?image\"?:\s*\"?([^\s\",]+)\"?\s*$", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys without a word; Kubernetes refuses both."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        """The mapping, if no key is in it twice."""
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != _MERGE:
                if key.value in keys:
                    raise yaml.MarkedYAMLError(problem=f"{_TWICE}: `{key.value}`", problem_mark=key.start_mark)
                keys.add(key.value)
        return super().construct_mapping(node, deep)


def images(texts: Iterable[str]) -> tuple[str, ...]:
    """Images that YAML texts name, each once, `auto` (Istio's own word in a gateway's pod) left out."""
    found = (name for text in texts for name in _IMAGE.findall(text))
    return tuple(sorted({name for name in found if name != "auto"}))


def load(path: Path) -> tuple[Json, ...]:
    """The objects in the file `path`. Raises CourseError when it cannot be read, else as `parse`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise errors.CourseError(f"The manifest {path} cannot be read.", why=str(error), next="ls manifests/*") from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str = "the manifest") -> tuple[Json, ...]:
    """The objects in `text`, empty documents left out. Raises MeshError for broken YAML and for what is not a Kubernetes object."""
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise errors.MeshError(
            f"{source} is not valid YAML.",
            why=_explain(text, error),
            next="two objects in one manifest need a line `---` between them; otherwise delete one of the two keys"
            if (error.problem or "").startswith(_TWICE)
            else "indent with spaces, two for each level, and put one space after each colon; then run the cell again",
        ) from error
    except yaml.YAMLError as error:
        raise errors.MeshError(
            f"{source} is not valid YAML.",
            why=str(error),
            next="look for unusual characters in it",
        ) from error
    objects = [document for document in documents if document is not None]
    for found in objects:
        _must_be_an_object(found, source)
    return tuple(objects)


def _explain(text: str, error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it cannot be parsed"
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return problem
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    shown = f"line {mark.line + 1}: {problem}\n    {line.replace(chr(9), '→   ')}\n    {' ' * _column(line, mark.column)}^"
    if "\t" in line[: mark.column + 1]:
        shown += "\n    The line holds a tab (shown as →). YAML is indented with spaces only."
    return shown


def _column(line: str, column: int) -> int:
    return column + 3 * line[:column].count("\t")


def _must_be_an_object(found: object, source: str) -> None:
    if not isinstance(found, dict):
        raise errors.MeshError(
            f"{source} is valid YAML but not a Kubernetes object.",
            why=f"it holds {type(found).__name__} {str(found)[:60]!r}, where a mapping with apiVersion, kind and metadata should be",
            next="start with `apiVersion:` and `kind:` at the left margin",
        )
    metadata = found.get("metadata")
    missing = [key for key in ("apiVersion", "kind") if not isinstance(found.get(key), str)]
    if not (isinstance(metadata, dict) and metadata.get("name")):
        missing.append("metadata.name")
    if missing:
        raise errors.MeshError(
            f"{source} is not a complete Kubernetes object.",
            why=f"it has no {' and no '.join(missing)}",
            next="compare with a manifest that works: kubectl get virtualservice NAME -o yaml",
        )
