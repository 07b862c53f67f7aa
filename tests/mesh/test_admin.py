"""A connection to a proxy's admin API gives the same as istioctl."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.core import errors
from meshcourse.mesh.envoy import admin, config_dump
from meshcourse.mesh.install import istioctl


def test_field_names_are_spelled_as_istioctl_prints_them_and_other_keys_stay() -> None:
    page = {
        "route_config": {"typed_per_filter_config": {"envoy.filters.http.fault": {"http_status": 503}}},
        "name": "a_b",
        "list": [{"x_y": 1}],
    }
    assert admin.respelled(page) == {
        "routeConfig": {"typedPerFilterConfig": {"envoy.filters.http.fault": {"httpStatus": 503}}},
        "name": "a_b",
        "list": [{"xY": 1}],
    }


@pytest.mark.cluster
def test_line_and_istioctl_tell_the_same(cluster: Any) -> None:
    pod = cluster.kubectl("-n", "istio-system", "get", "pods", "-l", "istio=ingressgateway", "-o", "jsonpath={.items[0].metadata.name}")
    proxy = f"{pod}.istio-system"
    with admin.AdminConnection(cluster.connection, "istio-system", lambda: pod) as line:
        named = {each["name"] for each in istioctl.read_json(cluster.connection, "proxy-config", "clusters", proxy)}
        assert {each["name"] for each in line.clusters()} <= named
        assert any("istiod.istio-system" in each["name"] for each in line.clusters())
        endpoints = istioctl.read_json(cluster.connection, "proxy-config", "endpoints", proxy)
        assert config_dump.healthy(line.addresses()).keys() >= config_dump.healthy(endpoints).keys()
        assert any(config_dump.healthy(line.addresses()).values())
        assert isinstance(line.routes(), list)
        assert "15021" in line.ports()
        line.close()
        assert line.get("ready").strip() == "LIVE", "it opens again"


@pytest.mark.cluster
def test_pod_that_is_not_there_is_an_error_with_what_to_type(cluster: Any) -> None:
    with (
        admin.AdminConnection(cluster.connection, "istio-system", lambda: "absent") as line,
        pytest.raises(errors.KubernetesError) as caught,
    ):
        line.get("ready")
    assert caught.value.next.startswith("kubectl -n istio-system get pods")
