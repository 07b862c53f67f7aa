"""What gave an answer, by a proxy's access log: the application, or the proxy itself, and why.

Envoy's response code details name the filter that ended the request (Envoy's documentation, "Response code details"). Pure.
"""

from __future__ import annotations

import re
from typing import Final

from meshcourse.measure.access_logs import Entry

_POLICY: Final = re.compile(r"ns\[(?P<namespace>[^\]]*)\]-policy\[(?P<name>[^\]]*)\]-rule\[(?P<rule>\d+)\]")
_REASONS: Final = (
    ("fault_filter_abort", "the route's fault (abort) ended it"),
    ("fault_filter", "the route's fault ended it"),
    ("rbac_access_denied", "an AuthorizationPolicy refused it: no rule of an ALLOW policy lets it in"),
    ("jwt_authn_access_denied", "a RequestAuthentication refused its token"),
    ("ext_authz_denied", "the external authorization service refused it"),
    ("ext_authz_error", "the external authorization service did not answer"),
    ("local_rate_limited", "the rate limit is reached"),
    ("request_rate_limited", "the rate limit is reached"),
    ("direct_response", "the route has an answer of its own"),
    ("route_not_found", "no route matches"),
    (
        "cluster_not_found",
        "the route's destination does not exist: no such Service or port, or no DestinationRule defines the subset",
    ),
    ("no_healthy_upstream", "no pod of the destination takes requests: none is ready, or its labels match no pod, or all are ejected"),
    ("overflow", "a limit of the connection pool is reached (circuit breaker)"),
    ("upstream_per_try_timeout", "the pod did not answer within the time of one try"),
    ("response_timeout", "the pod did not answer within the route's timeout"),
    ("upstream_response_timeout", "the pod did not answer within the route's timeout"),
    ("upstream_reset_before_response_started{connection", "the connection to the pod failed"),
    ("upstream_reset_before_response_started{remote_connection_failure", "the connection to the pod failed"),
    ("upstream_reset_before_response_started", "the pod closed the connection before it answered"),
    ("downstream_remote_disconnect", "the caller closed the connection before the answer came"),
    ("downstream_local_disconnect", "this proxy closed the caller's connection before the answer came"),
    ("maintenance_mode", "the destination is in maintenance mode"),
    ("path_normalization_failed", "the path is not one that a URL may have"),
    ("low_version", "HTTP/1.0 is not served"),
)


def by_itself(entry: Entry) -> bool:
    """Whether the proxy itself made the answer, and not the application or the next proxy."""
    details = entry["code_details"]
    return not details.startswith("via_upstream") and (details != "-" or entry["upstream_host"] == "-")


def why(entry: Entry) -> str:
    """Why a proxy itself answered, with Envoy's own term."""
    details = entry["code_details"]
    if found := _POLICY.search(details):
        rule = int(found["rule"]) + 1
        return f"AuthorizationPolicy {found['name']} of namespace {found['namespace']} refused it, by its rule {rule}"
    reason = next((words for sign, words in _REASONS if sign in details), "")
    return f"{reason} ({details})" if reason else f"Envoy calls it {details}" if details != "-" else "its log does not say why"
