"""A container's variables: expansion, order of sources, service links, and missing values, in kubelet's words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from meshcourse.core.json_types import Json
from meshcourse.node.spec import environment


class Stored:
    """Objects as the API server would hold them."""

    def __init__(self, *items: tuple[str, Json]) -> None:
        self._items = items

    def get(self, kind: str, namespace: str, name: str) -> Json | None:
        wanted = (kind, namespace, name)
        return next((item for held, item in self._items if (held, item["metadata"]["namespace"], item["metadata"]["name"]) == wanted), None)

    def list(self, kind: str, namespace: str) -> list[Json]:
        return [item for held, item in self._items if held == kind and item["metadata"]["namespace"] == namespace]


def config_map(name: str, **data: str) -> tuple[str, Json]:
    return "ConfigMap", {"metadata": {"namespace": "shop", "name": name}, "data": data}


def secret(name: str, **data: str) -> tuple[str, Json]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return "Secret", {"metadata": {"namespace": "shop", "name": name}, "data": encoded}


def service(name: str, address: str, *ports: Json, namespace: str = "shop") -> tuple[str, Json]:
    return "Service", {"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": address, "ports": list(ports)}}


API_SERVER = service("kubernetes", "10.96.0.1", {"name": "https", "port": 443, "protocol": "TCP"}, namespace="default")


def resolve(container: Json, *items: tuple[str, Json], **spec: Any) -> dict[str, str]:
    container = {"name": "app", **container}
    pod = {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "labels": {"app": "web", "version": "v1"}, "annotations": {}},
        "spec": {"nodeName": "node", "serviceAccountName": "web", "containers": [container], "enableServiceLinks": False, **spec},
    }
    return environment.resolve(pod, container, Stored(*items), pod_ip="10.1.0.5", host_ip="10.0.0.1")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A $(B)", "$(A $(B)"),
        ("$()", "$()"),
        ("$(C)", "$(A)"),  # what came out is not expanded again
        ("a\n$(A)\n", "a\n1\n"),
    ],
)
def test_expansion_follows_kubernetes_rules(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2", "C": "$(A)"}) == expanded


def test_later_sources_win_and_values_see_what_came_before() -> None:
    container = {
        "envFrom": [
            {"configMapRef": {"name": "one"}},
            {"prefix": "P_", "configMapRef": {"name": "one"}},
            {"secretRef": {"name": "two"}},
        ],
        "env": [
            {"name": "EARLY", "value": "$(LATE)"},
            {"name": "LATE", "value": "$(A)/$(KUBERNETES_SERVICE_HOST)"},
            {"name": "A", "value": "own"},
            {"name": "AGAIN", "value": "$(A)"},
            {"name": "EMPTY"},
        ],
    }
    env = resolve(container, config_map("one", A="map", B="map"), secret("two", A="secret"), API_SERVER)
    assert {name: env[name] for name in ("EARLY", "LATE", "A", "AGAIN", "B", "P_A", "EMPTY")} == {
        "EARLY": "$(LATE)",
        "LATE": "secret/10.96.0.1",
        "A": "own",
        "AGAIN": "own",
        "B": "map",
        "P_A": "map",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "web-1"),
        ({"fieldRef": {"fieldPath": "metadata.namespace"}}, "shop"),
        ({"fieldRef": {"fieldPath": "metadata.uid"}}, "u-1"),
        ({"fieldRef": {"fieldPath": "metadata.labels['version']"}}, "v1"),
        ({"fieldRef": {"fieldPath": "metadata.annotations['none']"}}, ""),
        ({"fieldRef": {"fieldPath": "spec.nodeName"}}, "node"),
        ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "web"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.1.0.5"),
        ({"fieldRef": {"fieldPath": "status.podIPs"}}, "10.1.0.5"),
        ({"fieldRef": {"fieldPath": "status.hostIP"}}, "10.0.0.1"),
        ({"fieldRef": {"fieldPath": "status.hostIPs"}}, "10.0.0.1"),
        ({"configMapKeyRef": {"name": "one", "key": "a"}}, "map"),
        ({"secretKeyRef": {"name": "two", "key": "a"}}, "secret"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "250"),
    ],
)
def test_every_source_of_a_variable(source: Json, value: str) -> None:
    container = {"env": [{"name": "X", "valueFrom": source}], "resources": {"requests": {"cpu": "250m"}}}
    assert resolve(container, config_map("one", a="map"), secret("two", a="secret"))["X"] == value


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"envFrom": [{"configMapRef": {"name": "none"}}]}, 'configmap "none" not found'),
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, 'secret "none" not found'),
        ({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}]}, 'configmap "none" not found'),
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}}]},
            "couldn't find key k in ConfigMap shop/one",
        ),
        ({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "two", "key": "k"}}}]}, "couldn't find key k in Secret shop/two"),
        ({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.dnsPolicy"}}}]}, "unsupported fieldPath: spec.dnsPolicy"),
        ({"env": [{"name": "X", "value": "a\0b"}]}, "environment variable X holds a NUL byte"),
    ],
)
def test_what_is_missing_is_named_in_kubelets_words(container: Json, words: str) -> None:
    with pytest.raises(environment.MissingReference) as caught:
        resolve(container, config_map("one", a="map"), secret("two", a="secret"))
    assert str(caught.value) == words


def test_what_is_optional_leaves_no_variable() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "none", "optional": True}}, {"secretRef": {"name": "none", "optional": True}}],
        "env": [
            {"name": "NO_MAP", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
            {"name": "NO_KEY", "valueFrom": {"secretKeyRef": {"name": "two", "key": "k", "optional": True}}},
        ],
    }
    assert resolve(container, secret("two", a="secret")) == {}


def test_service_links_name_each_port_of_a_neighbour() -> None:
    reviews = service("my-reviews", "10.96.7.7", {"name": "http-web", "port": 9080}, {"name": "dns", "port": 53, "protocol": "UDP"})
    headless = service("headless", "None", {"port": 80})
    elsewhere = service("elsewhere", "10.96.8.8", {"port": 80}, namespace="other")
    env = resolve({}, reviews, headless, elsewhere, API_SERVER, enableServiceLinks=True)
    assert {name: value for name, value in env.items() if not name.startswith("KUBERNETES_")} == {
        "MY_REVIEWS_SERVICE_HOST": "10.96.7.7",
        "MY_REVIEWS_SERVICE_PORT": "9080",
        "MY_REVIEWS_SERVICE_PORT_HTTP_WEB": "9080",
        "MY_REVIEWS_SERVICE_PORT_DNS": "53",
        "MY_REVIEWS_PORT": "tcp://10.96.7.7:9080",
        "MY_REVIEWS_PORT_9080_TCP": "tcp://10.96.7.7:9080",
        "MY_REVIEWS_PORT_9080_TCP_PROTO": "tcp",
        "MY_REVIEWS_PORT_9080_TCP_PORT": "9080",
        "MY_REVIEWS_PORT_9080_TCP_ADDR": "10.96.7.7",
        "MY_REVIEWS_PORT_53_UDP": "udp://10.96.7.7:53",
        "MY_REVIEWS_PORT_53_UDP_PROTO": "udp",
        "MY_REVIEWS_PORT_53_UDP_PORT": "53",
        "MY_REVIEWS_PORT_53_UDP_ADDR": "10.96.7.7",
    }


def test_the_api_server_is_named_even_without_service_links() -> None:
    env = resolve({}, service("other", "10.96.7.7", {"port": 80}), API_SERVER)
    assert env["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert env["KUBERNETES_SERVICE_PORT"] == "443"
    assert "OTHER_SERVICE_HOST" not in env
