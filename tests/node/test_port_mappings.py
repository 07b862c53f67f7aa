from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node import port_mappings
from meshcourse.node.port_mappings import Mapping, PortMappings


def mapping(ip: str = "", port: int = 80, protocol: str = "TCP") -> Mapping:
    return Mapping(ip, port, protocol, 8080)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (mapping(), mapping(), True),
        (mapping("127.0.0.1"), mapping(), True),
        (mapping("127.0.0.1"), mapping("172.18.0.2"), False),
        (mapping("127.0.0.1"), mapping("127.0.0.1", protocol="UDP"), False),
        (mapping(), mapping(port=81), False),
    ],
)
def test_two_pods_clash_over_port_protocol_and_address(one: Mapping, other: Mapping, clash: bool) -> None:  # noqa: FBT001
    ports = PortMappings()
    assert ports.take("a", (one,))
    assert ports.take("a", (one,))
    assert ports.take("b", (other,)) != clash


async def test_a_port_is_free_again_when_its_pod_has_gone() -> None:
    ports = PortMappings()
    assert ports.take("a", (mapping(),))
    await ports.give_back("a")
    assert ports.take("b", (mapping(),))


def test_ports_are_those_of_all_containers_that_name_one() -> None:
    ports: list[dict[str, Any]] = [{"containerPort": 1}, {"containerPort": 2, "hostPort": 3, "hostIP": "0.0.0.0", "protocol": "UDP"}]
    pod = {
        "spec": {
            "containers": [{"name": "a", "ports": ports}],
            "initContainers": [{"name": "b", "ports": [{"containerPort": 4, "hostPort": 5}]}],
        }
    }
    assert port_mappings.wanted(pod) == (Mapping("", 5, "TCP", 4), Mapping("", 3, "UDP", 2))
