"""Faults and retries along a chain of services, as a few numbers that sliders can move.

Blocking; some milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from meshcourse.kube.connection import Connection
from meshcourse.mesh.rules.istio_object import Rule

Json = Mapping[str, Any]
_MADE_BY: Final = "kubectl apply -f manifests/08_faults_retries/09-chain.yaml -f manifests/08_faults_retries/10-retries-everywhere.yaml"
CONDITION: Final = "5xx"
ABORT: Final = 503


@dataclass(frozen=True)
class Retrying:
    """`fault` is a percentage; `gateway` and `first` are how often the gateway and the first service retry (`attempts`)."""

    fault: float
    gateway: int
    first: int


@dataclass(frozen=True)
class Chain:
    """The names of the three VirtualServices, in the order in which a request meets them."""

    front: str = "front"
    middle: str = "middle"
    back: str = "back"


def described_by(front: Json, middle: Json, back: Json) -> Retrying:
    """What the chain's VirtualServices say. Istio's own two retries, which no 5xx answer brings about, count as none."""
    abort = (_rule(back).get("fault") or {}).get("abort") or {}
    return Retrying(float((abort.get("percentage") or {}).get("value", 0)), _attempts(front), _attempts(middle))


def _rule(virtual_service: Json) -> Json:
    rules = list(virtual_service.get("spec", {}).get("http") or ({},))
    return cast("Json", rules[0])


def _attempts(virtual_service: Json) -> int:
    retries = _rule(virtual_service).get("retries") or {}
    return int(retries.get("attempts", 0)) if "5" in str(retries.get("retryOn", "")) else 0


def retries(attempts: int) -> dict[str, Any]:
    """The field `retries`. Istio refuses a `retryOn` where there is nothing to retry."""
    return {"attempts": attempts, "retryOn": CONDITION} if attempts else {"attempts": 0}


def fault(percent: float) -> dict[str, Any]:
    """The field `fault`."""
    return {"abort": {"httpStatus": ABORT, "percentage": {"value": percent}}}


def read(connection: Connection, namespace: str, chain: Chain) -> Retrying:
    """What the API server holds. Raises KubernetesError when one of the three is not there."""
    return described_by(*(_rule_of(connection, namespace, name).read() for name in (chain.front, chain.middle, chain.back)))


def write(connection: Connection, namespace: str, chain: Chain, wanted: Retrying) -> Retrying:
    """Change all three and return what the API server then holds. Raises KubernetesError when it or Istio's webhook refuses."""
    fields: Json = {
        chain.front: {"retries": retries(wanted.gateway)},
        chain.middle: {"retries": retries(wanted.first)},
        chain.back: {"retries": retries(0), "fault": fault(wanted.fault)},
    }
    return described_by(*(_rule_of(connection, namespace, name).patch(_patch(each), "new retries") for name, each in fields.items()))


def _rule_of(connection: Connection, namespace: str, name: str) -> Rule:
    return Rule(connection, namespace, name, made_by=_MADE_BY)


def _patch(fields: Json) -> list[dict[str, Any]]:
    return [{"op": "add", "path": f"/spec/http/0/{field}", "value": value} for field, value in fields.items()]
