"""In-place resize: which of a pod's requests and limits the node has accepted, and whether they hold.

`kubectl patch pod --subresource resize` changes the specification; the node accepts it when it has the room, and only then do containers
see it. Conditions and reasons are a kubelet's: PodResizePending (Infeasible, Deferred), PodResizeInProgress (Error).
Source: https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
"""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from typing import TYPE_CHECKING

from meshcourse.node.container.containers import specs_of
from meshcourse.node.spec import downward_api, resources
from meshcourse.node.status.statuses import Resize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meshcourse.core.json_types import Json
    from meshcourse.node.container.containers import Container
    from meshcourse.node.events import EventKind
    from meshcourse.node.pod.offers import Node


class Resizing:
    """One pod's. `tell` records an event about the pod."""

    def __init__(self, node: Node, manifest: Json, tell: Callable[[EventKind, str, str], None]) -> None:
        self._node = node
        self._tell = tell
        self._uid = manifest["metadata"]["uid"]
        self._accepted = _resources(manifest)
        self._pending: Resize | None = None
        self._generation = 0  # of the specification whose resize is under way
        self._node.requested[self._uid] = _requests(manifest)

    def accept(self, manifest: Json) -> Json:
        """Give the pod with the resources that hold for it: a resize that cannot be accepted now is left out."""
        wanted = _resources(manifest)
        if wanted == self._accepted:
            self._pending = None
            return manifest
        generation = manifest["metadata"].get("generation", 0)
        reason, message = self._objection(manifest)
        if not reason:
            self._pending, self._accepted, self._generation = None, wanted, generation
            self._node.requested[self._uid] = _requests(manifest)
            self._tell("Normal", "ResizeStarted", f"Pod resize started: {_text(wanted)}")
            return manifest
        pending = Resize("PodResizePending", reason, message, generation)
        if pending != self._pending:
            self._pending = pending
            self._tell("Warning", f"Resize{reason}", f"Pod resize {reason}: {message}")
        manifest = copy.deepcopy(manifest)
        for _, spec in specs_of(manifest):
            if spec["name"] in self._accepted["containers"]:
                spec["resources"] = self._accepted["containers"][spec["name"]]
        manifest["spec"]["resources"] = self._accepted["pod"]
        return manifest

    def conditions(self, containers: Sequence[Container]) -> tuple[Resize, ...]:
        """What `kubectl describe` shows of a resize that is not done."""
        found = [self._pending] if self._pending else []
        if self._generation:
            failed = next((each.resize_failure for each in containers if each.resize_failure), "")
            if failed:
                found.append(Resize("PodResizeInProgress", "Error", failed, self._generation))
            elif any(each.is_resizing for each in containers):
                found.append(Resize("PodResizeInProgress", "", "", self._generation))
        return tuple(found)

    @property
    def is_under_way(self) -> bool:
        """Whether a resize has been accepted and does not hold yet for all containers."""
        return bool(self._generation)

    def settled(self, containers: Sequence[Container]) -> bool:
        """Whether a resize that was under way has just been completed."""
        if not self._generation or any(each.is_resizing for each in containers):
            return False
        self._tell("Normal", "ResizeCompleted", f"Pod resize completed: {_text(self._accepted)}")
        self._generation = 0
        return True

    def end(self) -> None:
        """The pod needs nothing any more."""
        self._node.requested.pop(self._uid, None)

    def _objection(self, manifest: Json) -> tuple[str, str]:
        """Why the resize cannot be accepted: the reason, and the message; empty when it can."""
        if self._node.control_groups is None:
            return "Infeasible", f"In-place resize is not done by this node: it has no control groups: {self._node.no_control_groups}"
        for kind, wanted in _requests(manifest).items():
            capacity = downward_api.quantity(downward_api.allocatable()[kind])
            if wanted > capacity:
                numbers = f"requested: {_number(kind, wanted)}, capacity: {_number(kind, capacity)}"
                return "Infeasible", f"Node didn't have enough capacity: {kind}, {numbers}"
            used = sum((each[kind] for uid, each in self._node.requested.items() if uid != self._uid), Fraction(0))
            if used + wanted > capacity and wanted > self._node.requested.get(self._uid, {kind: wanted})[kind]:
                numbers = f"requested: {_number(kind, wanted)}, used: {_number(kind, used)}, capacity: {_number(kind, capacity)}"
                return "Deferred", f"Node didn't have enough resource: {kind}, {numbers}"
        return "", ""


def _resources(manifest: Json) -> Json:
    named = {spec["name"]: spec.get("resources") or {} for kind, spec in specs_of(manifest) if kind != "ephemeral"}
    return {"containers": named, "pod": manifest["spec"].get("resources") or {}}


def _requests(manifest: Json) -> dict[str, Fraction]:
    return {kind: resources.requested(manifest, kind) for kind in resources.KINDS}


def _number(kind: str, amount: Fraction) -> int:
    """Thousandths of a processor, or bytes, as a kubelet writes them."""
    return int(amount * 1000 if kind == "cpu" else amount)


def _text(accepted: Json) -> str:
    """Give the containers' resources in one line."""
    return json.dumps({"containers": [{"name": name, "resources": each} for name, each in accepted["containers"].items()]})
