"""Envoy's statistics, read from what `pilot-agent request GET stats` prints."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.measure import access_logs, proxy_stats


def test_counters_and_gauges_are_read_and_histograms_left_out() -> None:
    lines = [
        "cluster.outbound|80||web.ns.svc.cluster.local.upstream_rq_pending_overflow: 21",
        "cluster.outbound|80||web.ns.svc.cluster.local.upstream_rq_time: P0(nan,1.0) P25(nan,1.025)",
        'listener_manager.note: "words"',
        "",
    ]
    assert proxy_stats.parse(lines) == {"cluster.outbound|80||web.ns.svc.cluster.local.upstream_rq_pending_overflow": 21}


@pytest.mark.cluster
def test_gateway_counts_and_logs_a_request(cluster: Any) -> None:
    assert proxy_stats.read(
        cluster.connection, "istio-system", "deploy/istio-ingressgateway", containing=("listener_manager", "total_listeners")
    )
    assert isinstance(access_logs.read(cluster.connection, "istio-system", "deploy/istio-ingressgateway"), tuple)
