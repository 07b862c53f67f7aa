"""Fields of a pod as text: the downward API, for variables and for files alike."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshcourse.core.json_types import Json

_SUFFIXES = {
    **{suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{suffix: Fraction(1, 1000) ** power for power, suffix in enumerate(("m", "u", "n"), start=1)},
}
_SUBSCRIPTED = re.compile(r"(?P<path>.+?)\['(?P<key>.*)'\]", re.DOTALL)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


class UnsupportedField(Exception):  # noqa: N818 - reads as the sentence it is
    """The selector names a field that the downward API does not have."""


@dataclass(frozen=True)
class Addresses:
    """Values of the pod's status, known to the node before the status is written."""

    pod_ip: str
    host_ip: str


def allocatable() -> dict[str, str]:
    """The resources that this node offers to pods (`status.allocatable` of the Node): all of the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": str(os.cpu_count() or 1), "memory": f"{memory // 1024}Ki", "ephemeral-storage": f"{memory // 2048}Ki", "pods": "110"}


def quantity(text: str | float) -> Fraction:
    """Read a Kubernetes quantity: 250m, 1.5Gi, 2e3, 128974848."""
    text = str(text).strip()
    for suffix, factor in _SUFFIXES.items():
        if text.endswith(suffix):
            return Fraction(text.removesuffix(suffix)) * factor
    return Fraction(text)


def pod_field(pod: Json, path: str, addresses: Addresses | None = None) -> str:
    """The value at a fieldRef's path. Without `addresses` only metadata is readable, as in a downwardAPI volume."""
    metadata = pod["metadata"]
    if (subscripted := _SUBSCRIPTED.fullmatch(path)) is not None:
        maps = {"metadata.labels": "labels", "metadata.annotations": "annotations"}
        if (name := maps.get(subscripted["path"])) is None:
            msg = f'fieldPath "{path}" does not support subscript'
            raise UnsupportedField(msg)
        return str((metadata.get(name) or {}).get(subscripted["key"], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return _lines(metadata.get(path.removeprefix("metadata.")) or {})
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata[path.removeprefix("metadata.")])
    if addresses is not None:
        spec = pod["spec"]
        known = {
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.hostIP": addresses.host_ip,
            "status.hostIPs": addresses.host_ip,
            "status.podIP": addresses.pod_ip,
            "status.podIPs": addresses.pod_ip,
        }
        if path in known:
            return str(known[path])
    msg = f"unsupported fieldPath: {path}"
    raise UnsupportedField(msg)


def resource_field(pod: Json, selector: Json, container: Json | None, node: Mapping[str, str]) -> str:
    """The value of a resourceFieldRef. `container` is the one that has it; `containerName` in the selector overrides that."""
    if name := selector.get("containerName"):
        spec = pod["spec"]
        every = [*spec.get("containers", []), *spec.get("initContainers", [])]
        container = next((each for each in every if each["name"] == name), None)
    if container is None:
        msg = f"container {name} not found"
        raise UnsupportedField(msg)
    which, _, resource = selector["resource"].partition(".")
    if which not in ("limits", "requests") or not (resource in ("cpu", "memory", "ephemeral-storage") or resource.startswith("hugepages-")):
        msg = f"unsupported container resource : {selector['resource']}"
        raise UnsupportedField(msg)
    value = quantity(container.get("resources", {}).get(which, {}).get(resource, 0))
    if which == "limits" and value == 0 and not resource.startswith("hugepages-"):
        whole_pod = pod["spec"].get("resources", {}).get("limits", {})
        value = quantity(whole_pod.get(resource) or node.get(resource, 0))
    unit = 1000 if resource == "cpu" else 1  # Kubernetes counts processors in thousandths, all else in ones, rounding each up
    divisor = quantity(selector.get("divisor") or 1) or Fraction(1)
    return str(math.ceil(Fraction(math.ceil(value * unit), math.ceil(divisor * unit))))


def _lines(entries: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(entries[key])}" for key in sorted(entries))


def _quoted(text: str) -> str:
    """Quote as Go's strconv.Quote, which is what programs that read these files expect."""
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    code = ord(letter)
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    if code < 0x80:  # noqa: PLR2004 - ASCII ends here
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - Go's borders between its two forms
