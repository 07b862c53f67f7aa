"""The faults of one VirtualService, as a few numbers that sliders can move.

Blocking; some milliseconds. A request that does not carry the header then meets a second rule, without faults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.rules.istio_object import Rule

Json = Mapping[str, Any]
HEADER: Final = ("x-chaos", "yes")
ABORT: Final = 503


@dataclass(frozen=True)
class Faults:
    """`abort` and `delay` are percentages of the requests, `seconds` the delay; `chosen`: only of those that carry HEADER."""

    abort: float = 0.0
    delay: float = 0.0
    seconds: float = 1.0
    chosen: bool = False


def described_by(virtual_service: Json) -> Faults:
    """What a VirtualService says. A fault in any other rule than the first is not looked for."""
    rule = (virtual_service.get("spec", {}).get("http") or [{}])[0]
    fault = rule.get("fault") or {}
    abort, delay = fault.get("abort") or {}, fault.get("delay") or {}
    return Faults(_percent(abort), _percent(delay), route_actions.seconds(delay.get("fixedDelay", "1s")), bool(rule.get("match")))


def _percent(fault: Json) -> float:
    return float((fault.get("percentage") or {}).get("value", 0))


def rules(faults: Faults, name: str, route: object) -> list[dict[str, Any]]:
    """The `http` of a VirtualService that injects `faults` on the way to `route`. A fault of 0 % is left out: it would say nothing."""
    fault: dict[str, Any] = {}
    if faults.abort:
        fault["abort"] = {"httpStatus": ABORT, "percentage": {"value": faults.abort}}
    if faults.delay:
        fault["delay"] = {"fixedDelay": f"{round(1000 * faults.seconds)}ms", "percentage": {"value": faults.delay}}
    rule: dict[str, Any] = {"name": name, **({"fault": fault} if fault else {}), "route": route}
    if not faults.chosen:
        return [rule]
    header, value = HEADER
    return [{**rule, "name": f"{name}-chosen", "match": [{"headers": {header: {"exact": value}}}]}, {"name": name, "route": route}]


def read(connection: Connection, namespace: str, name: str) -> Faults:
    """What the API server holds. Raises KubernetesError when there is no such VirtualService."""
    return described_by(_rule(connection, namespace, name).read())


def write(connection: Connection, namespace: str, name: str, wanted: Faults) -> Faults:
    """Inject `wanted` and return what the API server then holds. Raises KubernetesError when it or Istio's webhook refuses."""
    rule = _rule(connection, namespace, name)
    route = (rule.read().get("spec", {}).get("http") or [{}])[-1].get("route")
    held = rule.patch({"spec": {"http": rules(wanted, name, route)}}, "new faults")
    # Without a delay the mesh does not say how long one would be.
    return dataclasses.replace(described_by(held), seconds=wanted.seconds)


def _rule(connection: Connection, namespace: str, name: str) -> Rule:
    return Rule(connection, namespace, name, made_by="kubectl apply -f manifests/08_faults_retries/03-abort.yaml")
