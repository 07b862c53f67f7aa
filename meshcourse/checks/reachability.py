"""Whether requests from outside reach the learner's VirtualService at all."""

from __future__ import annotations

from meshcourse.checks import outcome
from meshcourse.checks.exercises import Json, Witness
from meshcourse.checks.outcome import Outcome


def shut(exercise: str, witness: Witness, found: Json, *, host: str, gateway: str) -> Outcome | None:
    """Why requests for `host` through Gateway `gateway` do not meet VirtualService `found`, or None when they do."""
    name, spec = found["metadata"]["name"], found.get("spec", {})
    hosts, gateways = list(spec.get("hosts", ())), list(spec.get("gateways", ()))
    if host not in hosts:
        return outcome.not_yet(
            exercise,
            seen=f"VirtualService {name} is for the hosts {', '.join(hosts) or '(none)'}",
            expected=f"it is for {host}",
            hint=f"`hosts:` lists the names that users ask for, here {host}; the Service's name belongs in `destination: host:`",
        )
    if not {gateway, f"{witness.namespace}/{gateway}"} & set(gateways):
        return outcome.not_yet(
            exercise,
            seen=f"VirtualService {name} is bound to {', '.join(gateways) or 'no gateway, so only sidecars inside the mesh read it'}",
            expected=f"it is bound to the Gateway `{gateway}`",
            hint=f"requests from outside come in through the ingress gateway: add `gateways: [{gateway}]`",
        )
    if f"VirtualService {name}" in witness.arrival().missing:
        return outcome.not_yet(
            exercise,
            seen=f"the ingress gateway's Envoy does not hold the routes of VirtualService {name}",
            expected="istiod pushes them within a second",
            hint="`istioctl analyze` names what does not fit together",
        )
    return None
