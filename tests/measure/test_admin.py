"""Parsing Envoy's admin pages (pure), and the connection itself to a real proxy."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.core.errors import KubernetesError
from meshcourse.measure import admin
from meshcourse.measure.admin import AdminLine

CLUSTER = "outbound|8000||httpbin.breaking.svc.cluster.local"
# As Envoy 1.39 prints it: numbers are text, zeros are left out, and so is health that is good.
PAGE: dict[str, Any] = {
    "cluster_statuses": [
        {
            "name": CLUSTER,
            "host_statuses": [
                {
                    "address": {"socket_address": {"address": "10.244.0.8", "port_value": 8080}},
                    "stats": [
                        {"name": "rq_total", "value": "3"},
                        {"name": "rq_error", "value": "3"},
                        {"name": "rq_active", "type": "GAUGE"},
                    ],
                    "health_status": {"failed_outlier_check": True, "eds_health_status": "HEALTHY"},
                },
                {
                    "address": {"socket_address": {"address": "10.244.0.6", "port_value": 8080}},
                    "stats": [
                        {"name": "rq_total", "value": "40"},
                        {"name": "rq_error"},
                        {"name": "rq_active", "value": "2", "type": "GAUGE"},
                    ],
                    "health_status": {"eds_health_status": "HEALTHY"},
                },
                {"address": {"pipe": {"path": "./etc/istio/proxy/XDS"}}},
            ],
        },
        {"name": f"{CLUSTER}.other", "host_statuses": []},
    ]
}


def test_endpoints_are_read_with_their_state() -> None:
    assert admin.endpoints(PAGE, CLUSTER) == (
        admin.Endpoint("10.244.0.6", ready=True, ejected=False, requests=40, errors=0),
        admin.Endpoint("10.244.0.8", ready=True, ejected=True, requests=3, errors=3),
    )
    assert admin.endpoints(PAGE, "outbound|80||absent") == ()


def test_counters_lose_the_clusters_name_in_old_and_new_spelling() -> None:
    found = {
        f"cluster.{CLUSTER};.upstream_rq_2xx": 3,
        f"cluster.{CLUSTER}.upstream_rq_5xx": 4,
        "cluster.outbound|80||other;.upstream_rq_2xx": 9,
    }
    assert admin.short_names(found, CLUSTER) == {"upstream_rq_2xx": 3, "upstream_rq_5xx": 4}


@pytest.mark.cluster
def test_a_line_answers_again_and_again_and_after_its_pod_was_replaced(cluster: Any) -> None:
    with AdminLine(cluster.connection, "istio-system", "istio-egressgateway") as line:
        assert "uptime_current_epoch" in line.get("server_info")
        assert "uptime_current_epoch" in line.get("server_info")
        clusters = line.endpoints("outbound|443||istiod.istio-system.svc.cluster.local")
        assert [endpoint.ejected for endpoint in clusters] == [False]
        assert line.counters("xds-grpc")["upstream_cx_total"] >= 1
        cluster.kubectl("-n", "istio-system", "rollout", "restart", "deployment/istio-egressgateway")
        cluster.kubectl("-n", "istio-system", "rollout", "status", "deployment/istio-egressgateway", "--timeout=60s", timeout=70)
        assert "uptime_current_epoch" in line.get("server_info")


@pytest.mark.cluster
def test_a_proxy_that_is_not_there_is_said_so(cluster: Any) -> None:
    with (
        AdminLine(cluster.connection, "istio-system", "absent") as line,
        pytest.raises(KubernetesError, match="There is no Deployment absent"),
    ):
        line.get("stats")
