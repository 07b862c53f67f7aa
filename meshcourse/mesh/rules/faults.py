"""The faults of one VirtualService, as a few numbers for sliders.

They are injected into every request of its first rule, or only into those with a header: then a copy of the rule, with the header as a
condition, comes before it. All else of the rules stays as it is. Blocking; some milliseconds.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core.json_types import JsonMapping
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.rules.istio_object import Rule

HEADER: Final = ("x-chaos", "yes")
ABORT: Final = 503
_CHOSEN: Final = "-chosen"


@dataclass(frozen=True)
class Faults:
    """`abort` and `delay` are percentages of the requests, `seconds` is the delay; `chosen`: only requests with HEADER."""

    abort: float = 0.0
    delay: float = 0.0
    seconds: float = 1.0
    chosen: bool = False


def described_by(virtual_service: JsonMapping) -> Faults:
    """The faults of a VirtualService. Only its first rule is read."""
    rule = (virtual_service.get("spec", {}).get("http") or [{}])[0]
    fault = rule.get("fault") or {}
    abort, delay = fault.get("abort") or {}, fault.get("delay") or {}
    return Faults(_percent(abort), _percent(delay), route_actions.seconds(delay.get("fixedDelay", "1s")), _is_chosen(rule))


def _percent(fault: JsonMapping) -> float:
    return float((fault.get("percentage") or {}).get("value", 0))


def _is_chosen(rule: JsonMapping) -> bool:
    """Whether every request that a rule matches must have the header."""
    matches = rule.get("match") or ()
    return bool(matches) and all((match.get("headers") or {}).get(HEADER[0]) == {"exact": HEADER[1]} for match in matches)


def rules(http: Sequence[JsonMapping], faults: Faults) -> list[dict[str, Any]]:
    """The `http` of a VirtualService with these faults. A fault of 0 % is left out."""
    made = [copy.deepcopy(dict(each)) for each in http] or [{}]
    before = made[0].get("fault") or {}
    if _is_chosen(made[0]) and len(made) > 1:
        made = made[1:]
    base = made[0]
    base.pop("fault", None)
    fault = _fault(before, faults)
    if not faults.chosen:
        return [{**base, **({"fault": fault} if fault else {})}, *made[1:]]
    named = {"name": f"{base['name']}{_CHOSEN}"} if base.get("name") else {}
    marked = {HEADER[0]: {"exact": HEADER[1]}}
    match = [{**each, "headers": {**(each.get("headers") or {}), **marked}} for each in base.get("match") or [{}]]
    return [{**copy.deepcopy(base), **named, "match": match, **({"fault": fault} if fault else {})}, *made]


def _fault(before: JsonMapping, faults: Faults) -> dict[str, Any]:
    """The field `fault` with other percentages and another delay, and the same status."""
    fault: dict[str, Any] = {}
    if faults.abort:
        fault["abort"] = {**(before.get("abort") or {"httpStatus": ABORT}), "percentage": {"value": faults.abort}}
    if faults.delay:
        fault["delay"] = {"fixedDelay": f"{round(1000 * faults.seconds)}ms", "percentage": {"value": faults.delay}}
    return fault


def read(connection: Connection, namespace: str, name: str) -> Faults:
    """What the API server holds. Raises KubernetesError when there is no such VirtualService."""
    return described_by(_rule(connection, namespace, name).read())


def write(connection: Connection, namespace: str, name: str, wanted: Faults) -> Faults:
    """Inject `wanted` and return what the API server then holds. Raises KubernetesError when it or Istio's webhook refuses."""
    rule = _rule(connection, namespace, name)
    http = rule.read().get("spec", {}).get("http") or []
    held = rule.patch({"spec": {"http": rules(http, wanted)}}, "new faults")
    # Without a delay the mesh has no duration to return.
    return dataclasses.replace(described_by(held), seconds=wanted.seconds)


def _rule(connection: Connection, namespace: str, name: str) -> Rule:
    return Rule(connection, namespace, name, made_by="kubectl apply -f manifests/08_faults_retries/03-abort.yaml")
