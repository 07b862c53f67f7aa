"""Timing istiod's pushes: the routes of one VirtualService in Envoy's dump, and a real push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshcourse.core.errors import KubernetesError
from meshcourse.kube import manifests, resources
from meshcourse.measure import pushes

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "01_components"
ORIGIN = "/apis/networking.istio.io/v1/namespaces/n/virtual-service/web"


def route(name: str, cluster: str) -> dict[str, Any]:
    config = f"/apis/networking.istio.io/v1/namespaces/n/virtual-service/{name}"
    return {"route": {"cluster": cluster}, "metadata": {"filter_metadata": {"istio": {"config": config}}}}


def test_only_the_routes_of_one_virtual_service_are_compared() -> None:
    def page(*routes: dict[str, Any]) -> str:
        return json.dumps({"configs": [{"route_config": {"name": "80", "virtual_hosts": [{"routes": list(routes)}]}}]})

    one = pushes.held(page(route("web", "a"), route("other", "b")), ORIGIN)
    assert one == pushes.held(page(route("web", "a"), route("other", "c")), ORIGIN)
    assert one != pushes.held(page(route("web", "z")), ORIGIN)
    assert pushes.held(page(route("other", "b"), {}), ORIGIN) == pushes.held("{}", ORIGIN) == "[]"


@pytest.mark.cluster
def test_order_is_timed_until_every_envoy_has_it_and_the_same_order_is_none(cluster: Any, injected: str) -> None:
    resources.apply(cluster.connection, MANIFESTS / "01-team.yaml", namespace=injected)
    resources.wait_for_rollout(cluster.connection, injected, ["client", "web"])
    (manifest,) = manifests.load(MANIFESTS / "02-greeting.yaml")
    proxies = [(injected, "client"), (injected, "web")]
    first = pushes.measure(cluster.connection, manifest, injected, proxies)
    assert set(first.arrivals) == {f"client.{injected}", f"web.{injected}"}
    for seconds in first.arrivals.values():
        assert seconds is not None
        assert 0.05 < seconds < pushes.PATIENCE
    again = pushes.measure(cluster.connection, manifest, injected, proxies)
    assert again.unchanged
    assert again.arrivals == {}


@pytest.mark.cluster
def test_order_that_the_webhook_refuses_is_an_error(cluster: Any, namespace: str) -> None:
    (manifest,) = manifests.load(MANIFESTS / "03-broken.yaml")
    with pytest.raises(KubernetesError):
        pushes.measure(cluster.connection, manifest, namespace, [])
