"""The objects that every cluster begins with: the YAML of a folder of this package, and how they are created."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from meshcourse.node.api import Api

_HERE = Path(__file__).parent


def read(folder: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects of a folder, by its files' names; `${NAME}` is replaced by the value of NAME."""
    objects: list[dict[str, Any]] = []
    for path in sorted((_HERE / folder).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        objects += [each for each in yaml.safe_load_all(text) if each]
    return objects


def path_of(content: Mapping[str, Any]) -> str:
    """The path that an object of `content`'s kind is created at.

    >>> path_of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "a"}})
    '/apis/apps/v1/namespaces/a/deployments'
    """
    version, kind = content["apiVersion"], content["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = content["metadata"].get("namespace")
    return f"{root}{f'/namespaces/{namespace}' if namespace else ''}/{_plural(kind.lower())}"


def _plural(kind: str) -> str:
    """A kind's name in paths, by the rule of Kubernetes' own `meta.UnsafeGuessKindToResource`."""
    if kind.endswith("s"):
        return f"{kind}es"
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


async def create(api: Api, objects: Iterable[dict[str, Any]]) -> None:
    """Create the objects, in order; the store was empty. Raises ApiError."""
    for each in objects:
        await api.post(path_of(each), each)
