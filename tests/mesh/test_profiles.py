"""Installation profiles as istioctl renders them, and how they differ."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.core.errors import MeshError
from meshcourse.mesh.install import profiles
from meshcourse.mesh.install.profiles import Row

ONE = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.networking.istio.io}
this text is: [never parsed

---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod}
spec: {template: {spec: {containers: [{name: discovery, resources: {requests: {cpu: 10m, memory: 100Mi}}}]}}}

---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio}
data:
  mesh: |-
    accessLogFile: /dev/stdout

---
apiVersion: v1
kind: Role
metadata: {name: istiod}
"""
OTHER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod}
spec: {template: {spec: {containers: [{name: discovery, resources: {requests: {cpu: 500m}}}]}}}

---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway}
spec: {ports: [{port: 80}, {port: 443}]}
"""


def test_objects_and_settings_are_read_and_definitions_only_counted() -> None:
    found = profiles.read("one", ONE)
    assert found.count == 4
    assert found.objects == ("ConfigMap istio", "CustomResourceDefinitions", "Deployment istiod")
    assert found.settings["mesh: accessLogFile"] == "/dev/stdout"
    assert found.settings["istiod: memory asked for"] == "100Mi"
    assert found.settings["CustomResourceDefinitions"] == "1"
    assert profiles.read("empty", "").count == 0


def test_what_differs_comes_first_in_each_part() -> None:
    rows = profiles.compare(profiles.read("one", ONE), profiles.read("other", OTHER))
    assert Row("Service istio-ingressgateway", "", "✔") in rows
    assert Row("istiod: cpu asked for", "10m", "500m") in rows
    assert Row("istio-ingressgateway: ports", "", "80 443") in rows
    objects = [row for row in rows if " " in row.what and ":" not in row.what]
    assert [row.same for row in objects] == sorted(row.same for row in objects)


@pytest.mark.cluster
def test_profiles_of_this_istioctl_differ_as_the_chapter_says(cluster: Any) -> None:
    demo, default, minimal = (profiles.generate(cluster.connection, name) for name in ("demo", "default", "minimal"))
    assert "Deployment istio-egressgateway" in demo.objects
    assert "Deployment istio-egressgateway" not in default.objects
    assert "Deployment istio-ingressgateway" not in minimal.objects
    assert default.settings["mesh: accessLogFile"] == "(none)"
    assert "HorizontalPodAutoscaler istiod" in default.objects
    with pytest.raises(MeshError, match="manifest generate"):
        profiles.generate(cluster.connection, "nonsense")
