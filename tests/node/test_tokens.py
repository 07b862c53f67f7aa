"""Service account tokens: bound to the pod, renewed in time, accepted for their audience and for no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshcourse.node import tokens
from meshcourse.node.api import Api

POD = {"metadata": {"name": "web", "namespace": "shop", "uid": "u-1"}, "spec": {"serviceAccountName": "seller"}}


@pytest.mark.parametrize(("life", "renewed_after"), [(600, 480), (3607, 2885.6), (24 * 3600, 19.2 * 3600), (10 * 24 * 3600, 24 * 3600)])
def test_a_token_is_renewed_at_80_percent_of_its_life_or_after_a_day(life: float, renewed_after: float) -> None:
    assert tokens.Token("t", 1000.0, 1000.0 + life).renew_at == pytest.approx(1000.0 + renewed_after)


def test_a_request_is_bound_to_this_very_pod() -> None:
    assert tokens.request_path(POD) == "/api/v1/namespaces/shop/serviceaccounts/seller/token"
    assert tokens.request(POD, tokens.Wanted("istio-ca", 43200))["spec"] == {
        "audiences": ["istio-ca"],
        "expirationSeconds": 43200,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u-1"},
    }
    assert tokens.request(POD, tokens.Wanted("", 3607))["spec"]["audiences"] == []


def test_the_lifetime_is_the_one_that_the_api_server_chose() -> None:
    token = tokens.read({"status": {"token": "t", "expirationTimestamp": "1970-01-01T01:00:00Z"}, "spec": {"expirationSeconds": 600}})
    assert (token.issued, token.expires) == (3000.0, 3600.0)


@pytest.mark.cluster
async def test_a_token_is_good_for_its_audience_while_its_pod_lives(node_api: Api, kubectl: Any, apply: Any, get: Any) -> None:
    apply("web", [{"name": "app", "image": "busybox", "command": ["sleep", "600"]}])
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=30s")
    async with node_api as api:
        kept = tokens.Tokens(api)
        pod, wanted = get("pod", "web"), tokens.Wanted("istio-ca", 600)
        token = await kept.get(pod, wanted)
        assert await kept.get(pod, wanted) is token
        assert kept.next_renewal == pytest.approx(token.issued + 480)
        assert await reviewed(api, token, "istio-ca") == f"system:serviceaccount:{pod['metadata']['namespace']}:default"
        assert await reviewed(api, token, "somebody-else") is None
        kubectl("delete", "pod", "web", "--now")
        async with asyncio.timeout(30):
            while await reviewed(api, token, "istio-ca") is not None:  # the API server remembers a good token for some seconds
                await asyncio.sleep(0.5)


async def reviewed(api: Api, token: tokens.Token, audience: str) -> str | None:
    """Give the user that the API server takes the token for."""
    review = {"spec": {"token": token.text, "audiences": [audience]}}
    answer = await api.post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    name: str | None = answer["status"].get("user", {}).get("username")
    return name
