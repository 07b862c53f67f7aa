"""Manifests applied to a real API server with Istio's real webhook: what is refused, and with which message."""

from __future__ import annotations

from typing import Any

import pytest
from waiting import until

from meshcourse.core import errors
from meshcourse.kube import resources
from meshcourse.mesh.injection import namespaces
from meshcourse.mesh.install import installation, istioctl

pytestmark = pytest.mark.cluster

SETTING = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: setting\ndata:\n  colour: {}\n"
SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
spec:
  hosts: [web.example.com]
  http:
  - route:
    - destination: {host: web}
"""


def test_manifest_is_applied_changed_and_deleted(cluster: Any, namespace: str) -> None:
    assert resources.apply(cluster.connection, SETTING.format("blue"), namespace=namespace) == ("configmap/setting serverside-applied",)
    resources.apply(cluster.connection, SETTING.format("green"), namespace=namespace)
    assert cluster.get("-n", namespace, "configmap", "setting")["data"] == {"colour": "green"}
    resources.delete(cluster.connection, SETTING.format("green"), namespace=namespace)
    assert resources.read(cluster.connection.core().read_namespaced_config_map, "setting", namespace) is None
    assert resources.delete(cluster.connection, SETTING.format("green"), namespace=namespace) == ()


def test_object_that_the_learner_applied_with_kubectl_can_be_taken_over(cluster: Any, namespace: str) -> None:
    cluster.apply(namespace, SETTING.format("blue"))
    resources.apply(cluster.connection, SETTING.format("green"), namespace=namespace)
    assert cluster.get("-n", namespace, "configmap", "setting")["data"] == {"colour": "green"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("hosts: [web.example.com]", "hosts: ['*']"), "wildcard host \\* is not allowed"),
        (("hosts: [web.example.com]", "hosts: [web_1.example.com.]"), "invalid"),
        (("- destination: {host: web}", "- destination: {host: web}\n      weight: -1"), "weight"),
    ],
)
def test_virtual_service_that_istio_refuses_is_told_in_its_words(
    cluster: Any, namespace: str, change: tuple[str, str], reason: str
) -> None:
    with pytest.raises(errors.KubernetesError) as caught:
        resources.apply(cluster.connection, SERVICE.replace(*change), namespace=namespace)
    assert reason.replace("\\", "") in caught.value.why
    assert caught.value.next
    assert caught.value.status["message"]


def test_field_of_the_wrong_type_is_told_in_the_servers_words(cluster: Any, namespace: str) -> None:
    with pytest.raises(errors.KubernetesError) as caught:
        resources.apply(cluster.connection, SERVICE.replace("hosts: [web.example.com]", "hosts: 5"), namespace=namespace)
    assert "expected list" in caught.value.why
    assert caught.value.status["message"] == caught.value.why


@pytest.mark.parametrize(
    ("version", "kind", "right"),
    [("security.istio.io/v1", "PeerAuthentification", "PeerAuthentication"), ("v1", "Servise", "Service"), ("example.com/v1", "Odd", "")],
)
def test_unknown_kind_is_named_with_the_way_to_those_that_there_are(
    cluster: Any, namespace: str, version: str, kind: str, right: str
) -> None:
    with pytest.raises(errors.KubernetesError, match="does not know a kind") as caught:
        resources.apply(cluster.connection, f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n", namespace=namespace)
    assert kind in caught.value.why
    assert right in cluster.run("bash", "-c", caught.value.next).stdout.split() or not right


def test_broken_yaml_sends_nothing(cluster: Any, namespace: str) -> None:
    with pytest.raises(errors.MeshError, match="not valid YAML"):
        resources.apply(cluster.connection, SETTING.format("blue") + "---\na: b: c\n", namespace=namespace)
    assert resources.read(cluster.connection.core().read_namespaced_config_map, "setting", namespace) is None


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: web, image: {image}}}]
"""


def test_rollout_is_reported_until_it_is_ready(cluster: Any, namespace: str) -> None:
    heard: list[str] = []
    resources.apply(cluster.connection, DEPLOYMENT.format(image="nginx"), namespace=namespace)
    resources.wait_for_rollout(cluster.connection, namespace, ["web"], report=heard.append, timeout=60)
    assert heard[-1] == "web: 1 of 1 ready"


def test_rollout_that_cannot_come_names_what_holds_it_up(cluster: Any, namespace: str) -> None:
    resources.apply(cluster.connection, DEPLOYMENT.format(image="example.com/no/such:image"), namespace=namespace)
    until(lambda: "ImagePull" in resources.hold_up(cluster.connection, namespace))
    with pytest.raises(errors.KubernetesError, match="did not become ready") as caught:
        resources.wait_for_rollout(cluster.connection, namespace, ["web"], timeout=0.5)
    assert "ImagePull" in caught.value.why
    assert "describe pods" in caught.value.next


def test_installation_is_known_by_version_and_readiness(cluster: Any) -> None:
    found = installation.status(cluster.connection)
    assert found is not None
    assert found.ready
    assert found.has_ingress
    assert istioctl.run(cluster.connection, "version", "--remote=false", "--short").stdout.strip().endswith(f" {found.version}")


def test_istioctl_that_fails_keeps_its_words(cluster: Any) -> None:
    with pytest.raises(errors.MeshError, match=r"exit code") as caught:
        istioctl.run(cluster.connection, "proxy-config", "routes", "deploy/absent.default")
    assert "absent" in caught.value.why
    assert caught.value.next


def test_namespace_is_made_once_and_taken_away_by_its_maker_only(cluster: Any, namespace: str) -> None:
    made = f"{namespace}-made"
    assert namespaces.enable(cluster.connection, made, by="05-canary") is namespaces.Change.CREATED
    assert namespaces.enable(cluster.connection, made, by="05-canary") is namespaces.Change.NOTHING
    assert namespaces.undo(cluster.connection, made, by="06-other") is namespaces.Change.NOTHING
    assert namespaces.undo(cluster.connection, made, by="05-canary") is namespaces.Change.CREATED
    assert resources.read(cluster.connection.core().read_namespace, made) is None


def test_namespace_that_was_there_loses_only_the_label(cluster: Any, namespace: str) -> None:
    assert namespaces.enable(cluster.connection, namespace, by="05-canary") is namespaces.Change.LABELLED
    assert namespaces.undo(cluster.connection, namespace, by="05-canary") is namespaces.Change.LABELLED
    found = cluster.get("namespace", namespace)["metadata"]
    assert namespaces.LABEL not in found["labels"]
    assert namespaces.NOTE not in found.get("annotations", {})
