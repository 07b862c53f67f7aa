"""Waiting for routes names what the gateway does not hold."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.kube import resources
from meshcourse.mesh import propagation

pytestmark = pytest.mark.cluster

SHOP = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [routes.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [routes.example.com]
  gateways: [GATEWAY]
  http: [{directResponse: {status: 200}}]
"""


def test_a_rule_that_is_bound_to_no_gateway_is_named_until_it_is_bound(cluster: Any, namespace: str) -> None:
    resources.apply(cluster.connection, SHOP.replace("GATEWAY", "absent"), namespace=namespace)
    (why,) = propagation.wait(cluster.connection, namespace).unheld
    assert why.startswith("VirtualService shop: ")
    assert "absent" in why
    resources.apply(cluster.connection, SHOP.replace("GATEWAY", "web"), namespace=namespace)
    came = propagation.wait(cluster.connection, namespace)
    assert came.missing == ()
    assert came.virtual_services == ("shop",)


def test_several_objects_are_asked_about_before_any_is_stored(cluster: Any, namespace: str) -> None:
    resources.rehearse(cluster.connection, SHOP.replace("GATEWAY", "web"), namespace=namespace)
    assert cluster.get("-n", namespace, "gateways.networking.istio.io")["items"] == []
    with pytest.raises(Exception, match="refused"):
        resources.rehearse(cluster.connection, SHOP.replace("status: 200", "status: 9000"), namespace=namespace)
