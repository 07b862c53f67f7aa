"""A pod's status as a function of what the node knows about its containers.

Phases and conditions follow kubelet's getPhase and pkg/kubelet/status/generate.go, with the same reasons and messages, because kubectl,
controllers and people match on them. The QoS class and PodScheduled belong to the API server and the scheduler and are not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.spec.security_context import LinuxUser

ContainerKind = Literal["init", "sidecar", "main", "ephemeral"]
TERMINAL = ("Succeeded", "Failed")
_FIELDS = {"initContainerStatuses": ("init", "sidecar"), "containerStatuses": ("main",), "ephemeralContainerStatuses": ("ephemeral",)}


@dataclass(frozen=True)
class Waiting:
    """Not running, and the reason that `kubectl get pods` shows."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Running since `started_at` (RFC 3339)."""

    started_at: str


@dataclass(frozen=True)
class Terminated:
    """One run of a container that has ended. `exit_code` is 128 + n after signal n."""

    exit_code: int
    reason: str
    started_at: str
    finished_at: str
    container_id: str
    message: str = ""


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerRecord:
    """What the node knows of one container.

    `ready` and `started` are the probes' verdicts. `finished`: it has ended and will not be started again. `allocated` are the requests
    that the node has accepted, `resources` those that hold; None where nothing makes them hold.
    """

    name: str
    kind: ContainerKind
    image: str
    state: State
    image_id: str = ""
    container_id: str = ""
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    finished: bool = False
    identity: LinuxUser | None = None
    allocated: Json | None = None
    resources: Json | None = None


@dataclass(frozen=True)
class Resize:
    """A condition of an in-place resize that is not done: `kind` is PodResizePending or PodResizeInProgress."""

    kind: str
    reason: str
    message: str
    generation: int


RESIZES = ("PodResizePending", "PodResizeInProgress")


@dataclass(frozen=True)
class Verdict:
    """Why the node has ended or refused a pod: status.reason and status.message."""

    reason: str
    message: str


@dataclass(frozen=True)
class PodRecord:
    """What the node knows of one pod.

    `containers` are in the order of the spec, init containers first. `networked`: its network namespace exists. `initialized`: the main
    containers may start. `ended`: the node has stopped it for good.
    """

    host_ip: str
    started_at: str
    containers: tuple[ContainerRecord, ...] = ()
    pod_ip: str = ""
    networked: bool = False
    initialized: bool = False
    ended: bool = False
    verdict: Verdict | None = None
    readiness_gates: tuple[str, ...] = ()
    generation: int = 0
    resizes: tuple[Resize, ...] = ()


def phase(pod: PodRecord) -> str:
    """The pod's phase, as kubelet's getPhase determines it."""
    if pod.verdict is not None:
        return "Failed"
    mains = [record for record in pod.containers if record.kind == "main"]
    anything_runs = any(isinstance(record.state, Running) for record in pod.containers if record.kind != "ephemeral")
    if any(_hopeless(record) for record in pod.containers):
        return "Pending" if anything_runs else "Failed"
    if pod.ended and not anything_runs:
        return "Succeeded" if mains and all(_succeeded(record) for record in mains) else "Failed"
    if not pod.initialized or any(isinstance(record.state, Waiting) and record.last is None for record in mains):
        return "Pending"
    if anything_runs or not all(record.finished for record in mains):
        return "Running"
    return "Succeeded" if all(_succeeded(record) for record in mains) else "Failed"


def complete(record: ContainerRecord) -> bool:
    """Whether the next container may follow this init container: it has succeeded or, as a sidecar, has started."""
    if record.kind == "sidecar":
        return record.started and isinstance(record.state, Running)
    return _succeeded(record)


def status(pod: PodRecord, previous: Json, now: str) -> Json:
    """The status for a strategic merge patch. `previous` is the status that the API server holds; `now` is RFC 3339."""
    built: Json = {
        "phase": phase(pod),
        "hostIP": pod.host_ip,
        "hostIPs": [{"ip": pod.host_ip}],
        "startTime": pod.started_at,
        "conditions": _conditions(pod, previous, now),
    }
    if pod.generation:
        built["observedGeneration"] = pod.generation
    if pod.pod_ip:
        built["podIP"] = pod.pod_ip
        built["podIPs"] = [{"ip": pod.pod_ip}]
    if pod.verdict is not None:
        built["reason"] = pod.verdict.reason
        built["message"] = pod.verdict.message
    for field, kinds in _FIELDS.items():
        if those := [container_status(record) for record in pod.containers if record.kind in kinds]:
            built[field] = those
    return built


def container_status(record: ContainerRecord) -> Json:
    """One entry of containerStatuses, initContainerStatuses or ephemeralContainerStatuses."""
    runs = isinstance(record.state, Running)
    built: Json = {
        "name": record.name,
        "image": record.image,
        "imageID": record.image_id,
        "state": _state(record.state),
        "lastState": {} if record.last is None else _state(record.last),
        "restartCount": record.restarts,
        "started": runs and record.started and record.kind != "init",
        "ready": _succeeded(record) if record.kind == "init" else runs and record.started and record.ready,
    }
    if record.container_id:
        built["containerID"] = record.container_id
    if record.allocated:
        built["allocatedResources"] = record.allocated
    if record.resources is not None:
        built["resources"] = record.resources
    if record.identity is not None and runs:
        who = record.identity
        built["user"] = {"linux": {"uid": who.uid, "gid": who.gid, "supplementalGroups": list(who.groups)}}
    return built


def _state(state: State) -> Json:
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
    if isinstance(state, Running):
        return {"running": {"startedAt": state.started_at}}
    ended: Json = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": state.started_at,
        "finishedAt": state.finished_at,
        "containerID": state.container_id,
    }
    if state.message:
        ended["message"] = state.message
    return {"terminated": ended}


def _succeeded(record: ContainerRecord) -> bool:
    return isinstance(record.state, Terminated) and record.state.exit_code == 0


def _hopeless(record: ContainerRecord) -> bool:
    return record.kind == "init" and record.finished and not _succeeded(record)


def _conditions(pod: PodRecord, previous: Json, now: str) -> list[Json]:
    there = {condition["type"]: condition for condition in previous.get("conditions") or []}
    holds = {
        "PodReadyToStartContainers": (pod.networked, "", ""),
        "Initialized": _initialized(pod),
        "ContainersReady": _containers_ready(pod),
    }
    holds["Ready"] = _ready(pod, holds["ContainersReady"], there)
    built = []
    for kind, (value, reason, message) in holds.items():
        text = str(value)
        old = there.get(kind, {})
        since = old.get("lastTransitionTime", now) if old.get("status") == text else now
        # Null, not an absent key: a strategic merge patch would keep the old values.
        condition: Json = {"type": kind, "status": text, "lastTransitionTime": since, "reason": reason or None, "message": message or None}
        if pod.generation:
            condition["observedGeneration"] = pod.generation
        built.append(condition)
    return [*built, *(_resize(resize, there.get(resize.kind, {}), now) for resize in pod.resizes)]


def _resize(resize: Resize, old: Json, now: str) -> Json:
    built = {"type": resize.kind, "status": "True", "lastTransitionTime": old.get("lastTransitionTime", now)}
    return {**built, "reason": resize.reason or None, "message": resize.message or None, "observedGeneration": resize.generation}


def _initialized(pod: PodRecord) -> tuple[bool, str, str]:
    now = phase(pod)
    if now == "Succeeded":
        return True, "PodCompleted", ""
    left = [record.name for record in pod.containers if record.kind in ("init", "sidecar") and not complete(record)]
    if left and not pod.initialized:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(left)}]"
    return True, "", ""


def _containers_ready(pod: PodRecord) -> tuple[bool, str, str]:
    now = phase(pod)
    if now == "Succeeded":
        return False, "PodCompleted", ""
    if now == "Failed":
        return False, "PodFailed", ""
    unready = [record.name for record in pod.containers if record.kind in ("main", "sidecar") and not container_status(record)["ready"]]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready(pod: PodRecord, containers: tuple[bool, str, str], there: dict[str, Json]) -> tuple[bool, str, str]:
    if not containers[0]:
        return containers
    unmet = []
    for gate in pod.readiness_gates:
        found = there.get(gate)
        if found is None:
            unmet.append(f'corresponding condition of pod readiness gate "{gate}" does not exist.')
        elif found.get("status") != "True":
            unmet.append(f'the status of pod readiness gate "{gate}" is not "True", but {found.get("status")}')
    if unmet:
        return False, "ReadinessGatesNotReady", ", ".join(unmet)
    return True, "", ""
