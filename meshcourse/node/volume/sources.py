"""The wanted files of a configMap, secret, downwardAPI or projected volume."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal

from meshcourse.node.spec import downward_api
from meshcourse.node.volume.atomic_writer import File
from meshcourse.node.volume.tokens import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshcourse.core.json_types import Json
    from meshcourse.node.spec.environment import Source

    Kind = Literal["ConfigMap", "Secret"]

WRITTEN = ("configMap", "secret", "downwardAPI", "projected")
PROJECTED = ("configMap", "secret", "downwardAPI", "serviceAccountToken")

_DEFAULT_MODE = 0o644
_TOKEN_MODE = 0o600
_TOKEN_SECONDS = 3600


class Unavailable(Exception):  # noqa: N818 - reads as the sentence it is
    """An object that the volume needs does not exist; it may be created later."""


def kind_of(volume: Json) -> str:
    """The volume's type, such as configMap or hostPath."""
    return next((key for key in volume if key != "name"), "emptyDir")


def references(volume: Json) -> frozenset[tuple[str, str]]:
    """(kind, name) of every object whose changes must be written."""
    return frozenset(_references(volume))


def tokens_wanted(volume: Json) -> tuple[Wanted, ...]:
    """The tokens of a projected volume."""
    sources = [source["serviceAccountToken"] for source in _sources(volume) if "serviceAccountToken" in source]
    return tuple(_wanted(source) for source in sources)


def files(volume: Json, pod: Json, objects: Source, tokens: Mapping[Wanted, str]) -> dict[str, File]:
    """The volume's files. Raises Unavailable with all reasons at once, as in kubelet."""
    mode = volume[kind_of(volume)].get("defaultMode", _DEFAULT_MODE)
    found: dict[str, File] = {}
    missing: list[str] = []
    for source in _sources(volume):
        try:
            found.update(_source_files(source, pod, objects, tokens, mode))
        except (Unavailable, downward_api.UnsupportedField) as error:
            missing.append(str(error))
    if missing:
        raise Unavailable(missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]")
    return found


def shared_user(pod: Json) -> int | None:
    """The uid that all containers declare to run as, if it is the same: it then owns the tokens."""
    spec = pod["spec"]
    every = [*spec.get("initContainers", []), *spec.get("containers", []), *spec.get("ephemeralContainers", [])]
    whole = (spec.get("securityContext") or {}).get("runAsUser")
    users = {(container.get("securityContext") or {}).get("runAsUser", whole) for container in every}
    return users.pop() if len(users) == 1 else None


def _sources(volume: Json) -> list[Json]:
    """Any written volume as the list of sources that a projected one has."""
    kind = kind_of(volume)
    if kind == "projected":
        return volume[kind].get("sources") or []
    if kind == "secret":  # whose field is `secretName`, alone among them
        return [{"secret": {**volume[kind], "name": volume[kind].get("secretName", "")}}]
    return [{kind: volume[kind]}] if kind in WRITTEN else []


def _references(volume: Json) -> Iterator[tuple[str, str]]:
    for source in _sources(volume):
        if "configMap" in source:
            yield "ConfigMap", source["configMap"].get("name", "")
        elif "secret" in source:
            yield "Secret", source["secret"].get("name", "")


def _source_files(source: Json, pod: Json, objects: Source, tokens: Mapping[Wanted, str], mode: int) -> dict[str, File]:
    if "configMap" in source:
        return _object_files("ConfigMap", source["configMap"], pod, objects, mode)
    if "secret" in source:
        return _object_files("Secret", source["secret"], pod, objects, mode)
    if "downwardAPI" in source:
        return {item["path"]: _field_file(item, pod, mode) for item in source["downwardAPI"].get("items") or []}
    if "serviceAccountToken" in source:
        token = source["serviceAccountToken"]
        user = shared_user(pod)
        if user is not None or fs_group(pod) is not None:
            mode = _TOKEN_MODE  # readable for its owner; fsGroup makes it readable for the group
        return {token["path"]: File(tokens[_wanted(token)].encode(), mode, user)}
    msg = f"the embedded node does not project {', '.join(source)}"
    raise Unavailable(msg)


def fs_group(pod: Json) -> int | None:
    """The gid that owns the pod's volumes, if it has one."""
    group: int | None = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return group


def _object_files(kind: Kind, source: Json, pod: Json, objects: Source, mode: int) -> dict[str, File]:
    name, optional = source.get("name", ""), bool(source.get("optional"))
    found = objects.get(kind, pod["metadata"]["namespace"], name)
    if found is None and not optional:
        msg = f'{kind.lower()} "{name}" not found'
        raise Unavailable(msg)
    data = {} if found is None else _bytes(kind, found)
    if not source.get("items"):
        return {key: File(value, mode) for key, value in data.items()}
    files: dict[str, File] = {}
    for item in source["items"]:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
        elif not optional:
            what = "configmap references non-existent config key" if kind == "ConfigMap" else "references non-existent secret key"
            msg = f"{what}: {item['key']}"
            raise Unavailable(msg)
    return files


def _bytes(kind: Kind, found: Json) -> dict[str, bytes]:
    plain, encoded = ("data", "binaryData") if kind == "ConfigMap" else ("", "data")
    texts = {key: value.encode() for key, value in (found.get(plain) or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (found.get(encoded) or {}).items()}


def _field_file(item: Json, pod: Json, mode: int) -> File:
    if "fieldRef" in item:
        text = downward_api.pod_field(pod, item["fieldRef"]["fieldPath"])
    else:
        text = downward_api.resource_field(pod, item["resourceFieldRef"], None, downward_api.allocatable())
    return File(text.encode(), item.get("mode", mode))


def _wanted(source: Json) -> Wanted:
    return Wanted(source.get("audience", ""), int(source.get("expirationSeconds") or _TOKEN_SECONDS))
