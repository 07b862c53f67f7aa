"""What a route does with a request, as text: read from the Envoy that holds it."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.kube import resources
from meshcourse.mesh import propagation
from meshcourse.mesh.envoy import config_dump, route_actions

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 2}}
    outlierDetection: {consecutive5xxErrors: 3}
  subsets:
  - {name: v1, labels: {version: v1}}
"""
RULES = {
    "timeout": ("timeout: 0.5s", "timeout 0.5 s"),
    "retries": ("retries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx,503'}", "3 retries on 503,5xx, 2 s each"),
    "none": ("retries: {attempts: 0}", "no retries"),
    "delay": ("fault: {delay: {fixedDelay: 2s, percentage: {value: 12.5}}}", "delay 2 s for 12.5 %"),
    "abort": ("fault: {abort: {httpStatus: 503, percentage: {value: 50}}}", "abort 503 for 50 %"),
    "mirror": ("mirror: {host: web, subset: v1}", "mirror to v1"),
    "a part of it": ("mirror: {host: web}\n    mirrorPercentage: {value: 12.5}", "mirror 12.5 % to web"),
    "path": ("rewrite: {uri: /b}", "rewrite path to /b"),
    "host": ("rewrite: {authority: b.example.com}", "rewrite host to b.example.com"),
    "pattern": ("rewrite: {uriRegexRewrite: {match: '/a/(.*)', rewrite: '/\\1'}}", "rewrite path to /a/(.*) → /\\1"),
    "header": ("headers: {request: {set: {x-a: b}}}", "request header x-a: b"),
    "cors": (
        "corsPolicy: {allowOrigins: [{exact: 'https://a.example'}, {prefix: 'https://b'}]}",
        "CORS for https://a.example, prefix https://b",
    ),
    "no header": ("headers: {response: {remove: [server]}}", "no response header server"),
}
ANSWERS = {
    "moved": ("redirect: {uri: /new, authority: b.example.com, redirectCode: 302}", "redirects (302) to b.example.com/new"),
    "secure": ("redirect: {scheme: https}", "redirects (301) to https://the same host, the same path"),
    "teapot": ("directResponse: {status: 418, body: {string: short and stout}}", "answers 418 by itself: short and stout"),
}


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("0.500s", 0.5), ("1m30s", 90.0), ("500ms", 0.5), ("2h", 7200.0), ("0s", 0.0), ("soon", 0.0), ("5", 0.0)],
)
def test_durations_of_both_spellings_are_seconds(written: str, wanted: float) -> None:
    assert route_actions.seconds(written) == wanted


def test_what_istio_does_unasked_is_no_line() -> None:
    unasked = {"numRetries": 2, "retryOn": "connect-failure,refused-stream,unavailable,cancelled"}
    assert route_actions.held({"route": {"cluster": "x", "timeout": "0s", "retryPolicy": unasked}}) == ()


@pytest.mark.cluster
def test_every_action_has_its_words_as_envoy_holds_it(cluster: Any, injected: str) -> None:
    head = f"""
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: web}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{injected}.example.com]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec:
  hosts: [{injected}.example.com]
  gateways: [web]
  http:
"""
    begun = "  - match: [{{uri: {{prefix: /{}}}}}]\n    {}\n"
    to = "route: [{destination: {host: web}}]\n    "
    rules = [begun.format(number, to + written) for number, (written, _) in enumerate(RULES.values())]
    rules += [begun.format(len(RULES) + number, written) for number, (written, _) in enumerate(ANSWERS.values())]
    resources.apply(cluster.connection, SERVICE + head + "".join(rules), namespace=injected)
    assert propagation.wait(cluster.connection, injected, timeout=10.0).missing == ()
    found = {route.conditions[0]: route for route in config_dump.of(cluster.connection, injected, "web")}
    routes = [found[f"uri prefix /{number}"] for number in range(len(found))]
    assert [route.treatment for route in routes[: len(RULES)]] == [(words,) for _, words in RULES.values()]
    assert [route.goes for route in routes[len(RULES) :]] == [words for _, words in ANSWERS.values()]
