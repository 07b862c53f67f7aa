"""Finding a gateway: which addresses a Service has, which of them is used, and what is said when none does."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from meshcourse.backends import ingress
from meshcourse.backends.ingress import Address
from meshcourse.core.errors import ClusterError

REMOTE, LOCAL = "https://api.example.com:6443", "https://127.0.0.1:41234"
PORTS = [{"port": 15021, "nodePort": 30021}, {"port": 80, "nodePort": 31718}, {"port": 443, "nodePort": 31443}]


def service(*entries: dict[str, str], ports: list[dict[str, int]] | None = None) -> dict[str, Any]:
    return {"spec": {"ports": PORTS if ports is None else ports}, "status": {"loadBalancer": {"ingress": list(entries)} if entries else {}}}


def node(**addresses: str) -> dict[str, Any]:
    return {"status": {"addresses": [{"type": kind, "address": address} for kind, address in addresses.items()]}}


NODES = [node(InternalIP="10.0.0.1", Hostname="a"), node(InternalIP="10.0.0.2", ExternalIP="192.0.2.2")]
BALANCED = Address("load-balancer", "192.0.2.9", 80, 15021)
OUTSIDE = Address("node-port", "192.0.2.2", 31718, 30021)


def test_doors_come_with_the_most_direct_first() -> None:
    found = list(ingress.addresses(service({"ip": "192.0.2.9"}), NODES, REMOTE))
    assert found == [BALANCED, OUTSIDE, Address("node-port", "10.0.0.1", 31718, 30021), Address("node-port", "10.0.0.2", 31718, 30021)]
    assert [each.url for each in found[:2]] == ["http://192.0.2.9", "http://192.0.2.2:31718"]


def test_behind_an_api_server_on_this_machine_the_addresses_of_nodes_mean_nothing() -> None:
    assert list(ingress.addresses(service(), NODES, LOCAL)) == []
    assert next(ingress.addresses(service(), NODES, LOCAL, ingress.NODE_PORT)) == OUTSIDE


@pytest.mark.parametrize(("url", "local"), [(LOCAL, True), ("https://[::1]:1", True), ("https://localhost", True), (REMOTE, False)])
def test_this_machine_is_told_from_others(url: str, *, local: bool) -> None:
    assert ingress.is_loopback(url) is local


def test_a_gateway_without_a_status_port_or_without_port_80() -> None:
    assert next(ingress.addresses(service({"hostname": "lb.example.com"}, ports=[{"port": 80}]), (), REMOTE)).status_port == 0
    assert list(ingress.addresses(service({"ip": "192.0.2.9"}, ports=[{"port": 8080}]), NODES, REMOTE)) == []
    assert list(ingress.addresses({}, NODES, REMOTE)) == []


def test_an_address_of_version_6_gets_its_brackets() -> None:
    assert Address("node-port", "2001:db8::1", 31718).url == "http://[2001:db8::1]:31718"


@pytest.mark.parametrize(
    ("way", "answering", "found"),
    [
        ("auto", {BALANCED, OUTSIDE}, BALANCED),
        ("auto", {OUTSIDE}, OUTSIDE),
        ("auto", set(), None),
        ("node-port", {BALANCED, OUTSIDE}, OUTSIDE),
        ("port-forward", {BALANCED, OUTSIDE}, None),
    ],
)
def test_first_address_that_answers_is_taken_else_a_port_is_forwarded(way: str, answering: set[Address], found: Address | None) -> None:
    assert ingress.find(way, service({"ip": "192.0.2.9"}), NODES, REMOTE, answers=answering.__contains__) == found


@pytest.mark.parametrize(
    ("way", "given", "why"),
    [
        ("load-balancer", service(), "has none"),
        ("load-balancer", None, "Istio is not installed"),
        ("node-port", service(), "nothing answers at http://192.0.2.2:31718"),
    ],
)
def test_a_way_that_leads_nowhere_is_an_error_that_says_why(way: str, given: dict[str, Any] | None, why: str) -> None:
    with pytest.raises(ClusterError, match=way) as refused:
        ingress.find(way, given, NODES, REMOTE, answers=lambda _: False)
    assert why in refused.value.why
    assert "port-forward" in refused.value.next


def test_a_way_is_a_word_or_a_url() -> None:
    assert ingress.check_way("https://mesh.example.com/") == "https://mesh.example.com"
    for wrong in ("tunnel", "mesh.example.com", "ftp://mesh.example.com"):
        with pytest.raises(ClusterError, match="cannot be"):
            ingress.check_way(wrong)


@pytest.fixture
def gateway() -> Iterator[tuple[int, set[str]]]:
    """A server with Istio's status page; the paths in the set get another status than 200."""
    unready: set[str] = set()

    class Status(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if self.path in unready or self.path != "/healthz/ready" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, unready
        server.shutdown()


def test_a_door_counts_when_the_status_port_beside_it_says_ready(gateway: tuple[int, set[str]]) -> None:
    port, unready = gateway
    assert ingress.answers(Address("node-port", "127.0.0.1", 1, port))
    assert ingress.answers(Address("node-port", "127.0.0.1", port))
    unready.add("/healthz/ready")
    assert not ingress.answers(Address("node-port", "127.0.0.1", 1, port))
    assert not ingress.answers(Address("node-port", "127.0.0.1", 1))
