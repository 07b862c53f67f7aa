"""Pods recreated behind a Service that a gateway sends to: after lab.wait, requests are answered."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.core import background
from meshcourse.kube import resources
from meshcourse.mesh import propagation
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.targets import Target

HOST = "made-anew.example.com"
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - {name: nginx, image: "nginx:1.25"}
"""
DOOR = f"""
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {{app: web}}
  ports:
  - {{name: http, port: 80}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: web
spec:
  selector:
    istio: ingressgateway
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    hosts: [{HOST}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
spec:
  hosts: [{HOST}]
  gateways: [web]
  http:
  - route:
    - destination: {{host: web}}
"""


@pytest.mark.cluster
def test_pods_made_anew_are_waited_for_without_a_subset_too(cluster: Any, injected: str) -> None:
    resources.apply(cluster.connection, DOOR, namespace=injected)
    for _ in range(4):
        resources.apply(cluster.connection, WEB, namespace=injected)
        resources.wait_for_rollout(cluster.connection, injected, ["web"])
        assert propagation.wait(cluster.connection, injected).missing == ()
        found = background.run(sender.send(Target(cluster.ingress_url + "/", host=HOST), pacing.closed(requests=10), in_flight=1))
        assert {each.status for each in found} == {200}
        cluster.kubectl("-n", injected, "delete", "deployment", "web")  # its pod is still on its way out when the next one comes
