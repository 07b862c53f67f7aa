"""Names of Envoy's clusters, parsed and printed."""

from __future__ import annotations

import pytest

from meshcourse.mesh.envoy.cluster_names import ClusterName


@pytest.mark.parametrize(
    ("text", "wanted", "place"),
    [
        ("outbound|80|v2|web.shop.svc.cluster.local", ClusterName("outbound", "80", "v2", "web.shop.svc.cluster.local"), "web v2"),
        ("outbound|443||api.example.com", ClusterName("outbound", "443", "", "api.example.com"), "api.example.com"),
        ("inbound|80||", ClusterName("inbound", "80", "", ""), ""),
        ("PassthroughCluster", ClusterName("", "", "", "PassthroughCluster"), "PassthroughCluster"),
        ("-", ClusterName("", "", "", "-"), ""),
    ],
)
def test_name_is_read_and_printed(text: str, wanted: ClusterName, place: str) -> None:
    assert ClusterName.parse(text) == wanted
    assert str(wanted) == text
    assert wanted.place == place
    assert wanted.inward is text.startswith("inbound")


def test_istios_statistics_end_it_with_a_semicolon() -> None:
    assert ClusterName.parse("outbound|80||web.shop.svc.cluster.local;") == ClusterName.outbound("web.shop.svc.cluster.local", 80)
