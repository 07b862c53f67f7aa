"""The objects that an installation profile renders to (`istioctl manifest generate`), and how two profiles differ.

Nothing is installed. CustomResourceDefinitions are nine tenths of the text and the same in every profile that has them: they are counted
and not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import istioctl

NAMES: Final = ("demo", "default", "minimal", "empty", "ambient")
"""The profiles worth comparing; istioctl knows a few more, for other platforms."""
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CRD: Final = "CustomResourceDefinition"
_KIND: Final = re.compile(r"^kind: (\w+)$", re.MULTILINE)
_SHOWN: Final = ("Deployment", "DaemonSet", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ConfigMap", _CRD)
"""Kinds of which each object gets a line; the others belong to a Deployment."""


@dataclass(frozen=True)
class Profile:
    """`objects` are `Kind name`, with all CustomResourceDefinitions as one; `settings` are notable values, by a name that says where."""

    name: str
    objects: tuple[str, ...]
    settings: Mapping[str, str]
    count: int
    """Number of all objects, of any kind."""


@dataclass(frozen=True)
class Row:
    """One line of a comparison: its name, and its value in each profile, empty where it has none."""

    what: str
    one: str
    other: str

    @property
    def same(self) -> bool:
        """Whether both profiles have the same value."""
        return self.one == self.other


def generate(connection: Connection, name: str) -> Profile:
    """The profile `name` as this istioctl renders it. Raises MeshError when there is no such profile."""
    return read(name, istioctl.run(connection, "manifest", "generate", "--set", f"profile={name}", timeout=60.0).stdout)


def read(name: str, text: str) -> Profile:
    """A Profile from the text of `istioctl manifest generate`."""
    parts = [(found[1], part) for part in text.split("\n---\n") if (found := _KIND.search(part))]
    definitions = sum(kind == _CRD for kind, _ in parts)
    documents = [yaml.load(part, Loader=_LOADER) for kind, part in parts if kind != _CRD]  # noqa: S506 - a safe loader
    objects = {f"{each['kind']} {each['metadata']['name']}" for each in documents if each["kind"] in _SHOWN}
    settings = dict(item for each in documents for item in _settings(each))
    if definitions:
        objects.add(f"{_CRD}s")
        settings[f"{_CRD}s"] = str(definitions)
    return Profile(name, tuple(sorted(objects)), settings, len(documents) + definitions)


def _settings(each: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The notable values of one object."""
    name = str(each["metadata"]["name"])
    if each["kind"] == "Deployment":
        requests = each["spec"]["template"]["spec"]["containers"][0].get("resources", {}).get("requests", {})
        for unit in ("cpu", "memory"):
            if unit in requests:
                yield f"{name}: {unit} asked for", str(requests[unit])
    if each["kind"] == "HorizontalPodAutoscaler":
        yield f"{name}: replicas", f"{each['spec'].get('minReplicas', 1)} to {each['spec']['maxReplicas']}"
    if each["kind"] == "Service" and name.endswith("gateway"):
        yield f"{name}: ports", " ".join(str(port["port"]) for port in each["spec"]["ports"])
    if each["kind"] == "ConfigMap" and name == "istio":
        mesh = yaml.load(each["data"]["mesh"], Loader=_LOADER) or {}  # noqa: S506 - a safe loader
        yield "mesh: accessLogFile", str(mesh.get("accessLogFile", "(none)"))
        yield "mesh: extensionProviders", ", ".join(str(provider["name"]) for provider in mesh.get("extensionProviders", ())) or "(none)"


def compare(one: Profile, other: Profile) -> tuple[Row, ...]:
    """Objects first, then settings; in both parts differences come first."""
    rows = [Row(each, *("✔" if each in profile.objects else "" for profile in (one, other))) for each in _union(one.objects, other.objects)]
    settings = [
        Row(each, *(str(profile.settings.get(each, "")) for profile in (one, other))) for each in _union(one.settings, other.settings)
    ]
    return (*sorted(rows, key=lambda row: row.same), *sorted(settings, key=lambda row: row.same))


def _union(one: Any, other: Any) -> list[str]:  # noqa: ANN401 - two collections of names
    return sorted({*one, *other})
