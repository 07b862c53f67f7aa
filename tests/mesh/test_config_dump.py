"""Envoy's routes as text. The JSON has the shape that `istioctl proxy-config routes -o json` prints."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.envoy.config_dump import Route, Share

WEB = "web.canary.svc.cluster.local"


def envoy(*routes: dict[str, Any], name: str = "web") -> list[dict[str, Any]]:
    mark = {"filterMetadata": {"istio": {"config": f"/apis/networking.istio.io/v1/namespaces/canary/virtual-service/{name}"}}}
    unasked = {"retryOn": "connect-failure,refused-stream,unavailable,cancelled", "numRetries": 2}
    whole = [{**route, "route": {"retryPolicy": unasked, **route["route"]}, "metadata": mark} for route in routes]
    return [{"name": "http.8080", "virtualHosts": [{"name": "*:80", "routes": whole}]}]


def only(match: dict[str, Any], **action: Any) -> Route:
    (found,) = config_dump.read(envoy({"match": match, "route": action or {"cluster": f"outbound|80|v2|{WEB}"}}), "canary", "web")
    return found


def test_weights_are_shares_of_their_sum() -> None:
    clusters = [{"name": f"outbound|80|v1|{WEB}", "weight": 900}, {"name": f"outbound|80|v2|{WEB}", "weight": 100}]
    found = only({"prefix": "/"}, weightedClusters={"clusters": clusters})
    assert found == Route((), (Share(WEB, "v1", 900), Share(WEB, "v2", 100)))
    assert found.goes == "web v1 (900 of 1000) or web v2 (100 of 1000)"


def test_weight_of_zero_and_a_lone_destination_are_the_same() -> None:
    clusters = [{"name": f"outbound|80|v1|{WEB}", "weight": 0}, {"name": f"outbound|80|v2|{WEB}", "weight": 100}]
    assert only({"prefix": "/"}, weightedClusters={"clusters": clusters}) == only({"prefix": "/"}) == Route((), (Share(WEB, "v2", 1),))


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"prefix": "/", "caseSensitive": True}, "every request"),
        ({"prefix": "/new"}, "uri prefix /new"),
        ({"path": "/Login", "caseSensitive": False}, "uri exact /Login in any case"),
        ({"safeRegex": {"regex": "/v[0-9]+"}}, "uri regex /v[0-9]+"),
        ({"pathSeparatedPrefix": "/api"}, "uri at or below /api"),
        ({"prefix": "/", "headers": [{"name": "X-Team", "stringMatch": {"exact": "a"}}]}, "x-team exact a"),
        ({"prefix": "/", "headers": [{"name": "x", "stringMatch": {"exact": "a"}, "invertMatch": True}]}, "not x exact a"),
        ({"prefix": "/", "headers": [{"name": "x", "presentMatch": True}]}, "x present"),
        ({"prefix": "/", "headers": [{"name": "x", "presentMatch": True, "invertMatch": True}]}, "x absent"),
        ({"prefix": "/", "headers": [{"name": "x", "stringMatch": {"suffix": "b", "ignoreCase": True}}]}, "x suffix b in any case"),
        (
            {"prefix": "/", "headers": [{"name": "x", "rangeMatch": {"start": "1", "end": "5"}}]},
            'x {"rangeMatch": {"end": "5", "start": "1"}}',
        ),
        (
            {"prefix": "/a", "queryParameters": [{"name": "user", "stringMatch": {"safeRegex": {"regex": "a+"}}}, {"name": "b"}]},
            "uri prefix /a and query user regex a+ and query b present",
        ),
        ({"prefix": "/", "runtimeFraction": {"defaultValue": {"numerator": 5}}}, 'runtimeFraction {"defaultValue": {"numerator": 5}}'),
    ],
)
def test_every_condition_has_its_words(match: dict[str, Any], words: str) -> None:
    assert only(match).fits == words


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (
            {"redirect": {"pathRedirect": "/new", "hostRedirect": "b.example.com", "responseCode": "FOUND"}},
            "redirects (302) to b.example.com/new",
        ),
        (
            {"redirect": {"schemeRedirect": "https", "responseCode": "MOVED_PERMANENTLY"}},
            "redirects (301) to https://the same host, the same path",
        ),
        ({"redirect": {"prefixRewrite": "/v2", "portRedirect": 8443}}, "redirects (301) to the same host:8443/v2"),
        ({"redirect": {"pathRedirect": "/only"}}, "redirects (301) to /only"),
        ({"directResponse": {"status": 418, "body": {"inlineString": "teapot"}}}, "answers 418 by itself: teapot"),
        ({}, "the proxy answers by itself"),
    ],
)
def test_what_the_proxy_answers_by_itself_has_its_words(route: dict[str, Any], words: str) -> None:
    assert config_dump.from_envoy({"match": {"prefix": "/"}, **route}).goes == words


def test_routes_of_other_virtual_services_are_left_out() -> None:
    route = {"match": {"prefix": "/"}, "route": {"cluster": f"outbound|80|v1|{WEB}"}}
    assert config_dump.read(envoy(route, name="other"), "canary", "web") == ()
