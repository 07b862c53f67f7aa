"""Faults and retries along a chain of services, as a few numbers for sliders.

A chain is three VirtualServices: one that the gateway reads, one that the first service's sidecar reads, one on whose route the fault is
injected. `retries` and `fault` of their first rules are read and written; only changes are written. Blocking; some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from meshcourse.core.json_types import JsonMapping
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.rules.istio_object import Rule

_MADE_BY: Final = "kubectl apply -f manifests/08_faults_retries/09-chain.yaml -f manifests/08_faults_retries/10-retries-everywhere.yaml"
CONDITION: Final = "5xx"
ABORT: Final = 503
_GATEWAY_ERRORS: Final = range(502, 505)
_SERVER_ERRORS: Final = range(500, 600)
_CONFLICT: Final = 409
_FAILURES: Final = range(400, 600)


@dataclass(frozen=True)
class Retrying:
    """`fault` is a percentage; `gateway` and `first` are the retries of the gateway and of the first service for the fault's status."""

    fault: float
    gateway: int
    first: int
    unlike: tuple[str, ...] = ()
    """Why these three numbers alone do not predict the success; empty where they do."""


@dataclass(frozen=True)
class Chain:
    """The names of the three VirtualServices, in the order in which a request reaches them."""

    front: str = "front"
    middle: str = "middle"
    back: str = "back"


def described_by(front: JsonMapping, middle: JsonMapping, back: JsonMapping) -> Retrying:
    """The numbers in the chain's VirtualServices. Istio's two default retries, which an aborted request does not trigger, count as none."""
    abort = (_rule(back).get("fault") or {}).get("abort") or {}
    status = int(abort.get("httpStatus") or 0)
    return Retrying(
        _percent(abort),
        _attempts(front, status or ABORT),
        _attempts(middle, status or ABORT),
        tuple(_unlike(front, middle, back, status)),
    )


def _unlike(front: JsonMapping, middle: JsonMapping, back: JsonMapping, status: int) -> Iterator[str]:
    fault = _rule(back).get("fault") or {}
    if "abort" in fault and status not in _FAILURES:
        yield f"the fault's abort is {status or 'a gRPC status'}, which is not a failed HTTP answer"
    for name, each in (("front", front), ("middle", middle), ("back", back)):
        if len(each.get("spec", {}).get("http") or ()) > 1 or _rule(each).get("match"):
            yield f"VirtualService {name} has rules for some requests only"
    if _percent(fault.get("delay") or {}):
        limits = [
            f"{field} {duration}"
            for each in (front, middle, back)
            for field, duration in (
                ("perTryTimeout", (_rule(each).get("retries") or {}).get("perTryTimeout")),
                ("timeout", _rule(each).get("timeout")),
            )
            if duration and route_actions.seconds(duration) <= route_actions.seconds(fault["delay"].get("fixedDelay", "0s"))
        ]
        yield from (f"{limit} is not longer than the fault's delay, {fault['delay'].get('fixedDelay')}" for limit in dict.fromkeys(limits))


def _percent(fault: JsonMapping) -> float:
    return float((fault.get("percentage") or {}).get("value", 0))


def _rule(virtual_service: JsonMapping) -> JsonMapping:
    rules = list(virtual_service.get("spec", {}).get("http") or ({},))
    return cast("JsonMapping", rules[0])


def _attempts(virtual_service: JsonMapping, status: int) -> int:
    retries = _rule(virtual_service).get("retries") or {}
    return int(retries.get("attempts", 0)) if retried(status, str(retries.get("retryOn", ""))) else 0


def retried(status: int, conditions: str) -> bool:
    """Whether Envoy retries an answer of this status under Istio's `retryOn`: conditions and single status codes, with commas between."""
    words = [each.strip() for each in conditions.split(",")]
    return (
        str(status) in words
        or ("5xx" in words and status in _SERVER_ERRORS)
        or ("gateway-error" in words and status in _GATEWAY_ERRORS)
        or ("retriable-4xx" in words and status == _CONFLICT)
    )


def retries(attempts: int, now: JsonMapping | None = None, status: int = ABORT) -> dict[str, Any]:
    """The field `retries` with other attempts. Istio refuses a `retryOn` with 0 attempts.

    Conditions and times in `now` stay; without conditions, one that matches the fault is added.
    """
    if not attempts:
        return {"attempts": 0}
    kept = {name: value for name, value in (now or {}).items() if name != "attempts"}
    conditions = str(kept.get("retryOn", ""))
    needed = CONDITION if status in _SERVER_ERRORS else str(status)
    added = conditions if retried(status, conditions) else ",".join(filter(None, (conditions, needed)))
    return {**kept, "attempts": attempts, "retryOn": added}


def fault(percent: float, now: JsonMapping | None = None) -> dict[str, Any]:
    """The field `fault` with another percentage; its status, and a delay, stay."""
    abort = (now or {}).get("abort") or {"httpStatus": ABORT}
    return {**(now or {}), "abort": {**abort, "percentage": {"value": percent}}}


def read(connection: Connection, namespace: str, chain: Chain) -> Retrying:
    """What the API server holds. Raises KubernetesError when one of the three does not exist."""
    return described_by(*(_rule_of(connection, namespace, name).read() for name in (chain.front, chain.middle, chain.back)))


def write(connection: Connection, namespace: str, chain: Chain, held: Retrying, wanted: Retrying) -> Retrying:
    """Change what differs from `held`; returns what the API server then holds. Raises KubernetesError when it or the webhook refuses."""
    rules = [_rule_of(connection, namespace, name) for name in (chain.front, chain.middle, chain.back)]
    whole = [rule.read() for rule in rules]
    status = int(((_rule(whole[2]).get("fault") or {}).get("abort") or {}).get("httpStatus") or ABORT)
    changes: list[tuple[int, str, JsonMapping]] = []
    for number, (before, after) in enumerate(((held.gateway, wanted.gateway), (held.first, wanted.first))):
        if before != after:
            changes.append((number, "retries", retries(after, _rule(whole[number]).get("retries"), status)))
    if held.fault != wanted.fault:
        changes.append((2, "fault", fault(wanted.fault, _rule(whole[2]).get("fault"))))
    for number, field, value in changes:
        whole[number] = rules[number].patch([{"op": "add", "path": f"/spec/http/0/{field}", "value": value}], "new retries")
    return described_by(*whole)


def _rule_of(connection: Connection, namespace: str, name: str) -> Rule:
    return Rule(connection, namespace, name, made_by=_MADE_BY)
