"""Service account tokens: bound to the pod, and renewed in time."""

from __future__ import annotations

import pytest

from meshcourse.node.volume import tokens

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
