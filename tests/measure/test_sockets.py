"""Open connections read from the kernel's tables: addresses in the machine's byte order, IPv4 inside IPv6 too."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from meshcourse.measure import sockets
from meshcourse.measure.sockets import Socket

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"


@pytest.mark.skipif(sys.byteorder != "little", reason="the table below was taken on a little-endian machine")
def test_established_connections_are_read_and_others_left_out() -> None:
    lines = [
        HEAD,
        "   0: 00000000:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1 1",
        "   1: 0F00F40A:D59E 7C18600A:0050 01 00000000:00000000 00:00000000 00000000  1337        0 2 1",
        "   2: 0100007F:9C40 0100007F:3A98 01 00000000:00000000 00:00000000 00000000  1337        0 3 1",
        "   3: 0F00F40A:1F90 3700F40A:E46C 06 00000000:00000000 00:00000000 00000000     0        0 0 3",
        "   4: 0000000000000000FFFF00000E00F40A:3AA9 0000000000000000FFFF0000020012AC:4B04 01 00000000:00000000 00:00000000 00000000 0 0 4",
        "",
    ]
    assert list(sockets.parse(lines)) == [
        Socket("10.244.0.15", 54686, "10.96.24.124", 80),
        Socket("10.244.0.14", 15017, "172.18.0.2", 19204),
    ]


@pytest.mark.cluster
def test_a_gateway_has_its_line_to_istiod_open(cluster: Any) -> None:
    (pod,) = cluster.get("-n", "istio-system", "pods", "-l", "app=istio-ingressgateway")["items"]
    istiod = cluster.get("-n", "istio-system", "service", "istiod")["spec"]["clusterIP"]
    found = sockets.of(cluster.connection, "istio-system", pod["metadata"]["name"], "istio-proxy")
    assert (istiod, 15012) in {(each.remote, each.remote_port) for each in found}
    assert sockets.of(cluster.connection, "istio-system", "absent", "istio-proxy") == ()
