"""What a route of Envoy does with a request besides choosing its destination: timeout, retries, fault, mirror, rewrite, redirect.

As short texts such as `timeout 0.5 s` or `abort 503 for 50 %`. Istio's defaults (two retries, no timeout) are left out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import durationpy

from meshcourse.core.json_types import JsonMapping
from meshcourse.mesh.envoy.cluster_names import ClusterName

_FAULT: Final = "envoy.filters.http.fault"
_CORS: Final = "envoy.filters.http.cors"
# Istio 1.31's default retry conditions and attempts, for a VirtualService without its own (istio.io: HTTPRetry).
_UNASKED: Final = frozenset({"connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"})
# Istio's defaults up to 1.23, which include 503.
_UNASKED_BEFORE: Final = _UNASKED | {"503"}
_REDIRECTS: Final = {"FOUND": "302", "SEE_OTHER": "303", "TEMPORARY_REDIRECT": "307", "PERMANENT_REDIRECT": "308"}
_LONGEST: Final = 60
_DENOMINATORS: Final = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


def held(route: JsonMapping) -> tuple[str, ...]:
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
        status = fault["abort"].get("httpStatus") or f"gRPC {fault['abort'].get('grpcStatus', '')}"
        lines.append(f"abort {status} for {_fraction(fault['abort']):g} %")
    if origins := route.get("typedPerFilterConfig", {}).get(_CORS, {}).get("allowOriginStringMatch"):
        lines.append(f"CORS for {', '.join(_matched(each) for each in origins)}")
    lines += [f"sticky by {_hashed(each)}" for each in action.get("hashPolicy", ())]
    lines += [_mirror(each) for each in action.get("requestMirrorPolicies", ())]
    lines += [f"rewrite path to {_rewritten(action)}" if _rewritten(action) else ""]
    lines += [f"rewrite host to {action['hostRewriteLiteral']}" if action.get("hostRewriteLiteral") else ""]
    for part in (route, *action.get("weightedClusters", {}).get("clusters", ())):
        lines += list(_changed(part))
    return tuple(sorted(set(filter(None, lines))))


def own_answer(route: JsonMapping) -> str:
    """The proxy's own answer on this route: `redirects (301) to https://HOST/new`; empty for a route that sends requests on."""
    if "directResponse" in route:
        found = route["directResponse"]
        body = str(found.get("body", {}).get("inlineString", ""))
        return f"answers {found.get('status', '')} by itself" + (f": {_cut(body)}" if body else "")
    if "redirect" not in route:
        return ""
    found = route["redirect"]
    scheme = found.get("schemeRedirect") or ("https" if found.get("httpsRedirect") else "")
    port = f":{found['portRedirect']}" if found.get("portRedirect") else ""
    host = f"{scheme}://" * bool(scheme) + (str(found.get("hostRedirect", "")) or ("the same host" if scheme or port else "")) + port
    path = str(found.get("pathRedirect", "")) or _rewritten(found)
    return f"redirects ({_REDIRECTS.get(str(found.get('responseCode', '')), '301')}) to {host}{path or ', the same path'}"


def _matched(string: JsonMapping) -> str:
    """An Envoy StringMatcher as text: `https://a.example`, `prefix https://a`, `regex https://.*`."""
    if "exact" in string:
        return str(string["exact"])
    if "safeRegex" in string:
        return f"regex {string['safeRegex'].get('regex', '')}"
    return next((f"{kind} {value}" for kind, value in string.items() if kind != "ignoreCase"), "")


def _hashed(policy: JsonMapping) -> str:
    """What Envoy chooses the pod by: `cookie user`."""
    for kind, key, words in (
        ("header", "headerName", "header"),
        ("cookie", "name", "cookie"),
        ("queryParameter", "name", "query parameter"),
    ):
        if kind in policy:
            return f"{words} {policy[kind].get(key, '')}"
    return "the caller's address"


def _rewritten(action: JsonMapping) -> str:
    """The path after a rewrite, as text."""
    if "prefixRewrite" in action:
        return str(action["prefixRewrite"])
    if "regexRewrite" in action:
        found = action["regexRewrite"]
        return f"{found.get('pattern', {}).get('regex', '')} → {found.get('substitution', '')}"
    return str(action.get("pathRewrite", ""))


def _changed(part: JsonMapping) -> Iterator[str]:
    """Headers that a route, or one of its destinations, sets or removes."""
    for way in ("request", "response"):
        for entry in part.get(f"{way}HeadersToAdd", ()):
            header = entry.get("header", {})
            yield f"{way} header {header.get('key', '')}: {_cut(str(header.get('value', '')))}"
        for name in part.get(f"{way}HeadersToRemove", ()):
            yield f"no {way} header {name}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def seconds(duration: object) -> float:
    """Seconds of a duration as Envoy ("0.500s") or a person ("1m30s", "500ms") writes it; 0 for other text."""
    try:
        return float(durationpy.from_str(str(duration)).total_seconds())
    except durationpy.DurationError:
        return 0.0


def _timeout(limit: float) -> str:
    return f"timeout {limit:g} s" if limit else ""


def _retries(attempts: int, per_try: float, conditions: frozenset[str]) -> str:
    if attempts == 2 and not per_try and conditions <= _UNASKED:  # noqa: PLR2004 - Istio's own number
        return ""
    if not attempts:
        return "no retries"
    words = ",".join(sorted(conditions - {"retriable-status-codes", ""}))
    return f"{attempts} retries on {words}" + (f", {per_try:g} s each" if per_try else "")


def _fraction(part: JsonMapping) -> float:
    percentage = part.get("percentage", {})
    return 100.0 * float(percentage.get("numerator", 0)) / _DENOMINATORS.get(str(percentage.get("denominator", "HUNDRED")), 100)


def _mirror(policy: JsonMapping) -> str:
    share = _fraction({"percentage": policy.get("runtimeFraction", {}).get("defaultValue", {"numerator": 100})})
    return f"mirror {'' if share == 100 else f'{share:g} % '}to {_target(policy.get('cluster', ''))}"  # noqa: PLR2004 - all of them


def _target(cluster: str) -> str:
    name = ClusterName.parse(cluster)
    return name.subset or name.service
