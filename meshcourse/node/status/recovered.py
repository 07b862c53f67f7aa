"""The record of a container that ran before its node was stopped, recovered from the status that the API server holds.

As a kubelet after a reboot: what ran has ended with a code that nobody saw (255, Unknown); what starts again counts one restart more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshcourse.node.spec import restart_policy
from meshcourse.node.status.statuses import Terminated

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.status.statuses import ContainerRecord

_UNSEEN = 255


def recover(fresh: ContainerRecord, pod: Json, spec: Json, now: str) -> ContainerRecord:
    """The record to begin with: `fresh` itself unless the pod's status says that the container has been started before."""
    status = pod.get("status") or {}
    listed = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    known: Json = next((each for each in listed if each["name"] == fresh.name), {})
    if not known.get("containerID"):
        return fresh
    before = _terminated((known.get("lastState") or {}).get("terminated"))
    ended = _ended(known, now) or before
    if ended is None:
        return fresh
    if fresh.kind == "main" and not restart_policy.wanted(pod, spec, init=False, exit_code=ended.exit_code):
        return replace(
            fresh,
            state=ended,
            last=before,
            restarts=known["restartCount"],
            image_id=known.get("imageID", ""),
            container_id=known["containerID"],
            finished=True,
        )
    return replace(fresh, last=ended, restarts=known["restartCount"] + 1)


def _ended(known: Json, now: str) -> Terminated | None:
    state = known.get("state") or {}
    if running := state.get("running"):
        return Terminated(_UNSEEN, "Unknown", running.get("startedAt") or now, now, known["containerID"])
    return _terminated(state.get("terminated"))


def _terminated(state: Json | None) -> Terminated | None:
    if not state:
        return None
    return Terminated(
        state["exitCode"],
        state.get("reason", ""),
        state.get("startedAt") or "",
        state.get("finishedAt") or "",
        state.get("containerID", ""),
        state.get("message", ""),
    )
