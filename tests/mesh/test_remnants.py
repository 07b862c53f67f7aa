"""What counts as a remnant of Istio, and what belongs to Kubernetes or to the user."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.lab.istio_remnants import Listing
from meshcourse.mesh.install import remnants
from meshcourse.mesh.install.remnants import Thing


def thing(kind: str, name: str, namespace: str = "", **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {}), **metadata}}


LISTED = [
    thing("Namespace", "istio-system"),
    thing("Namespace", "canary", labels={"istio-injection": "enabled"}),
    thing("Deployment", "istiod", "istio-system"),
    thing("ConfigMap", "kube-root-ca.crt", "istio-system"),
    thing("ServiceAccount", "default", "istio-system"),
    thing("CustomResourceDefinition", "gateways.networking.istio.io"),
    thing("CustomResourceDefinition", "gateways.gateway.networking.k8s.io"),
    thing("ClusterRole", "istiod-clusterrole-istio-system"),
    thing("ClusterRole", "admin"),
    thing("ConfigMap", "istio-ca-root-cert", "canary"),
    thing("ConfigMap", "istio-ca-root-cert", "default"),
    thing("ConfigMap", "my-istio-notes", "canary"),
    thing("Pod", "web-1", "canary", annotations={"sidecar.istio.io/status": "{}"}),
    thing("Pod", "plain", "canary"),
]
YOURS = [thing("VirtualService", "web", "canary")]


def test_only_what_has_to_do_with_istio_is_kept() -> None:
    found = remnants.sort(LISTED, YOURS)
    assert found.namespace
    assert found.system == (Thing("Deployment", "istio-system", "istiod"),)
    assert [each.name for each in found.wide] == ["istiod-clusterrole-istio-system", "gateways.networking.istio.io"]
    assert [f"{each.namespace}/{each.name}" for each in found.elsewhere] == [
        "canary/istio-ca-root-cert",
        "default/istio-ca-root-cert",
        "canary/web-1",
    ]
    assert found.labelled == ("canary (istio-injection=enabled)",)
    assert found.of("VirtualService") == (Thing("VirtualService", "canary", "web"),)


def test_listing_says_where_and_how_many() -> None:
    text = repr(Listing(remnants.sort(LISTED, YOURS)))
    assert "in namespace istio-system" in text
    assert "2  istio-ca-root-cert in canary, default" in text
    assert "canary/web" in text
    empty = repr(Listing(remnants.sort([thing("Namespace", "default")], [])))
    assert "namespace istio-system: gone" in empty
    assert empty.count("nothing") == 3


@pytest.mark.cluster
def test_installed_istio_is_found_whole(cluster: Any, injected: str) -> None:
    found = remnants.find(cluster.connection)
    assert {each.name for each in found.of("Deployment")} >= {"istiod", "istio-ingressgateway", "istio-egressgateway"}
    assert len(found.of("CustomResourceDefinition")) >= 14
    assert any(injected in each for each in found.labelled)
