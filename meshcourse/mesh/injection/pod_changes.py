"""What a webhook changed in a pod, as a few lines of text.

Named items (containers, volumes, variables) are compared by name, not by position. Fields that Kubernetes sets later (node, tokens,
tolerations) are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core.json_types import JsonMapping

_METADATA: Final = ("labels", "annotations")
_BY_KUBERNETES: Final = frozenset(
    {"nodeName", "tolerations", "priority", "preemptionPolicy", "enableServiceLinks", "serviceAccount", "serviceAccountName"}
)
_TOKEN: Final = "kube-api-access-"  # noqa: S105 - the name of a volume
_REPLICA: Final = "pod-template-hash"
_LONGEST: Final = 90


@dataclass(frozen=True)
class Change:
    """One difference: its place in the manifest, such as `initContainers` or `annotations`, and its text."""

    where: str
    sign: str
    what: str

    def __str__(self) -> str:
        return f"{self.sign} {self.where}: {self.what}"


def compare(before: JsonMapping, after: JsonMapping) -> tuple[Change, ...]:
    """What `after` has and `before` has not, and the reverse, in the order of a manifest."""
    return (*_metadata(before, after), *_spec(before["spec"], after["spec"]))


def _metadata(before: JsonMapping, after: JsonMapping) -> Iterator[Change]:
    for part in _METADATA:
        old, new = (pod["metadata"].get(part) or {} for pod in (before, after))
        for key in (*old, *(key for key in new if key not in old)):
            if key != _REPLICA and old.get(key) != new.get(key):
                yield _change(part, old.get(key), new.get(key), lambda value, key=key: _short(f"{key}={value}"))


def _spec(before: JsonMapping, after: JsonMapping) -> Iterator[Change]:
    for key in (*before, *(key for key in after if key not in before)):
        old, new = before.get(key) or None, after.get(key) or None
        if key in _BY_KUBERNETES or old == new:
            continue
        if key in {"initContainers", "containers", "volumes"}:
            yield from _named(key, old or [], new or [])
        else:
            yield _change(key, old, new, lambda value: _short(json.dumps(value)))


def _named(where: str, old: list[JsonMapping], new: list[JsonMapping]) -> Iterator[Change]:
    """Containers or volumes, by name."""
    left, right = ({str(each["name"]): each for each in every if not each["name"].startswith(_TOKEN)} for every in (old, new))
    for name in (*left, *(name for name in right if name not in left)):
        one, other = left.get(name), right.get(name)
        describe = _volume if where == "volumes" else _container
        if one is None or other is None:
            yield _change(where, one, other, describe)
        else:
            yield from (_inner(f"{where}[{name}]", one, other) if where != "volumes" else ())


def _inner(where: str, old: JsonMapping, new: JsonMapping) -> Iterator[Change]:
    """Changes of a container that is in both."""
    for key in (*old, *(key for key in new if key not in old)):
        one, other = (_plain(each.get(key)) or None for each in (old, new))
        if one != other:
            yield _change(where, one, other, lambda value, key=key: _short(f"{key} {json.dumps(value)}"))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field of a container
    if isinstance(value, list):
        return [each for each in value if not (isinstance(each, dict) and str(each.get("name", "")).startswith(_TOKEN))]
    return value


def _change(where: str, old: Any, new: Any, describe: Any) -> Change:  # noqa: ANN401 - values of any kind, and how to say them
    if old is None:
        return Change(where, "+", describe(new))
    if new is None:
        return Change(where, "-", describe(old))
    return Change(where, "~", describe(new))


def _container(container: JsonMapping) -> str:
    """A container in one line: its name, image, command, and unusual fields."""
    parts = [str(container["name"]), f"image {container.get('image', '')}"]
    if container.get("args"):
        parts.append(f"runs {' '.join(container['args'][:2])}")
    if container.get("restartPolicy") == "Always":
        parts.append("restartPolicy Always: starts before your containers and stays")
    context = container.get("securityContext") or {}
    if "runAsUser" in context:
        parts.append(f"user {context['runAsUser']}")
    added = (context.get("capabilities") or {}).get("add")
    if added:
        parts.append(f"may {', '.join(added)}")
    ports = [str(port["containerPort"]) for port in container.get("ports") or ()]
    if ports:
        parts.append(f"port {', '.join(ports)}")
    probe = (container.get("readinessProbe") or {}).get("httpGet")
    if probe:
        parts.append(f"ready when :{probe.get('port')}{probe.get('path', '')} answers")
    return "; ".join(parts)


def _volume(volume: JsonMapping) -> str:
    kind = next((key for key in volume if key != "name"), "")
    content = volume.get(kind) or {}
    detail = ""
    if kind == "configMap":
        detail = f" {content.get('name')}"
    elif kind == "projected":
        tokens = [source["serviceAccountToken"] for source in content.get("sources", ()) if "serviceAccountToken" in source]
        detail = f" token for {tokens[0].get('audience')}" if tokens and tokens[0].get("audience") else ""
    elif kind == "emptyDir" and content.get("medium"):
        detail = f" in {content['medium'].lower()}"
    return f"{volume['name']} ({kind}{detail})"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
