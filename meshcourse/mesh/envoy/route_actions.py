"""How a route treats a request besides choosing its destination: timeout, retries, fault, mirror."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = Mapping[str, Any]
_FAULT: Final = "envoy.filters.http.fault"
# The conditions on which Istio 1.31 retries when a VirtualService names none, and how often (istio.io: HTTPRetry).
_UNASKED: Final = frozenset({"connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"})
# What Istio up to 1.23 asked Envoy for in the same case: 503 too.
_UNASKED_BEFORE: Final = _UNASKED | {"503"}
_DENOMINATORS: Final = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


def held(route: Json) -> tuple[str, ...]:
    """The lines for a route in the JSON of `istioctl proxy-config routes`."""
    action = route.get("route", {})
    lines = [_timeout(seconds(action.get("timeout", "0s")))]
    policy = action.get("retryPolicy")
    if policy is None:
        lines += [_retries(0, 0.0, frozenset())] if action else []
    else:
        codes = {str(code) for code in policy.get("retriableStatusCodes", ())}
        conditions = frozenset(str(policy.get("retryOn", "")).split(",")) | codes
        conditions = _UNASKED if conditions == _UNASKED_BEFORE else conditions
        lines.append(_retries(int(policy.get("numRetries", 1)), seconds(policy.get("perTryTimeout", "0s")), conditions))
    fault = route.get("typedPerFilterConfig", {}).get(_FAULT, {})
    if "delay" in fault:
        lines.append(f"delay {seconds(fault['delay'].get('fixedDelay', '0s')):g} s for {_fraction(fault['delay']):g} %")
    if "abort" in fault:
        lines.append(f"abort {fault['abort'].get('httpStatus', '')} for {_fraction(fault['abort']):g} %")
    lines += [f"mirror to {_target(mirror.get('cluster', ''))}" for mirror in action.get("requestMirrorPolicies", ())]
    return tuple(sorted(filter(None, lines)))


def described_by(rule: Json) -> tuple[str, ...]:
    """The lines for one entry of a VirtualService's `http`."""
    if "route" not in rule:
        return ()
    lines = [_timeout(seconds(rule.get("timeout", "0s")))]
    retries = rule.get("retries")
    if retries is not None:
        asked = [part.strip() for part in str(retries.get("retryOn") or "").split(",") if part.strip()]
        conditions = frozenset(asked) | ({"retriable-status-codes"} if any(part.isdigit() for part in asked) else set())
        lines.append(_retries(int(retries.get("attempts", 0)), seconds(retries.get("perTryTimeout", "0s")), conditions or _UNASKED))
    fault = rule.get("fault") or {}
    if "delay" in fault:
        lines.append(f"delay {seconds(fault['delay'].get('fixedDelay', '0s')):g} s for {_percent(fault['delay']):g} %")
    if "abort" in fault:
        lines.append(f"abort {fault['abort'].get('httpStatus', '')} for {_percent(fault['abort']):g} %")
    lines += list(_mirrors(rule))
    return tuple(sorted(filter(None, lines)))


def seconds(duration: object) -> float:
    """Seconds of a duration as Envoy ("0.500s") or a person ("1m30s", "500ms") writes it; 0 for what is neither."""
    total, number, text, units = 0.0, "", str(duration), {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    position = 0
    while position < len(text):
        if text[position].isdigit() or text[position] == ".":
            number += text[position]
            position += 1
            continue
        unit = "ms" if text.startswith("ms", position) else text[position]
        if unit not in units or not number:
            return 0.0
        total, number, position = total + float(number) * units[unit], "", position + len(unit)
    return total


def _timeout(limit: float) -> str:
    return f"timeout {limit:g} s" if limit else ""


def _retries(attempts: int, per_try: float, conditions: frozenset[str]) -> str:
    if attempts == 2 and not per_try and conditions <= _UNASKED:  # noqa: PLR2004 - Istio's own number
        return ""
    if not attempts:
        return "no retries"
    words = ",".join(sorted(conditions - {"retriable-status-codes", ""}))
    return f"{attempts} retries on {words}" + (f", {per_try:g} s each" if per_try else "")


def _fraction(part: Json) -> float:
    percentage = part.get("percentage", {})
    return 100.0 * float(percentage.get("numerator", 0)) / _DENOMINATORS.get(str(percentage.get("denominator", "HUNDRED")), 100)


def _percent(part: Json) -> float:
    return float((part.get("percentage") or {}).get("value", 0))


def _mirrors(rule: Json) -> Iterator[str]:
    targets = [entry.get("destination", {}) for entry in rule.get("mirrors") or ()] or ([rule["mirror"]] if rule.get("mirror") else [])
    for target in targets:
        yield f"mirror to {target.get('subset') or str(target.get('host', '')).partition('.')[0]}"


def _target(cluster: str) -> str:
    _, _, subset, host = (*cluster.split("|"), "", "", "", "")[:4]
    return subset or host.partition(".")[0]
