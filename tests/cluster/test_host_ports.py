"""Services on this machine: every NodePort and every load balancer answers where it says, and two clusters never clash."""

from __future__ import annotations

import errno
import json
import random
import socket
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from waiting import until

from meshcourse.cluster import clusters, gateway_ports, host_ports, host_sockets
from meshcourse.cluster.host_ports import Promise

NODE = "172.18.0.2"


def service(kind: str, ports: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {"type": kind, "ports": ports, "clusterIP": "10.96.0.9", **spec}}


def test_what_a_service_promises_to_the_host() -> None:
    ports = [{"name": "http", "port": 80, "nodePort": 30100}, {"port": 53, "protocol": "UDP", "nodePort": 30101}]
    node_port = Promise("http", "127.0.0.1", 30100, (NODE, 30100))
    assert list(host_ports.wanted(service("ClusterIP", ports), "", NODE)) == []
    dns = Promise("53", "127.0.0.1", 30101, (NODE, 30101), "UDP")
    assert list(host_ports.wanted(service("NodePort", ports), "", NODE)) == [node_port, dns]
    balanced = [Promise("http", "127.9.9.9", 80, ("10.96.0.9", 80)), Promise("53", "127.9.9.9", 53, ("10.96.0.9", 53), "UDP")]
    assert list(host_ports.wanted(service("LoadBalancer", ports), "127.9.9.9", NODE)) == [node_port, balanced[0], dns, balanced[1]]
    bare = service("LoadBalancer", [{"port": 8080}], allocateLoadBalancerNodePorts=False)
    assert list(host_ports.wanted(bare, "127.9.9.9", NODE)) == [Promise("8080", "127.9.9.9", 8080, ("10.96.0.9", 8080))]


@pytest.mark.parametrize(
    ("changed", "ours"),
    [
        ({}, True),
        ({"spec": {"type": "LoadBalancer", "loadBalancerClass": "example.com/own"}}, False),
        ({"spec": {"type": "NodePort"}}, False),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
    ],
)
def test_a_load_balancer_of_another_class_is_left_to_its_own_controller(changed: dict[str, Any], ours: bool) -> None:  # noqa: FBT001
    assert host_ports.is_ours({"metadata": {}, "spec": {"type": "LoadBalancer"}} | changed) == ours


def test_clusters_have_addresses_of_their_own() -> None:
    first = [next(host_ports.addresses(name)) for name in ("meshcourse", "two", "node", "test-1", "test-2")]
    assert len(set(first)) == len(first)
    assert all(each.startswith("127.") for each in first)


def test_the_process_outside_makes_sockets_and_says_why_it_cannot() -> None:
    import os  # noqa: PLC0415 - the child must not run what pytest imported late

    ours, theirs = host_sockets.pair()
    child = os.fork()
    if child == 0:
        ours.close()
        host_sockets.serve(theirs)
    theirs.close()
    sockets = host_sockets.HostSockets(ours)
    with sockets.listening("127.0.0.1", 0) as door:
        port = door.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), 5).close()
        assert not door.get_inheritable(), "a pod would keep the port taken after its Service has gone"
        with pytest.raises(OSError, match="in use"):
            sockets.listening("127.0.0.1", port)
    with sockets.udp() as made:
        assert made.type == socket.SOCK_DGRAM
    ours.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "it ends with the last that could ask it"


def test_the_first_free_port_is_taken() -> None:
    with gateway_ports.listen(0, "a test", "--x") as taken:
        number = taken.getsockname()[1]
        with gateway_ports.listen_on_any([number, 0]) as found:
            assert found.getsockname()[1] != number


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - of this test's own server
        return str(answer.read().decode())


def answers(url: str, expected: str) -> Callable[[], bool]:
    def look() -> bool:
        try:
            return expected in get(url)
        except OSError:
            return False

    return look


@pytest.mark.cluster
def test_a_load_balancer_and_its_node_port_answer_on_this_machine_until_the_service_is_deleted(
    cluster: Any, namespace: str, wait_for: Callable[..., str]
) -> None:
    cluster.kubectl("-n", namespace, "run", "web", "--image=nginx", "--port=80")
    cluster.kubectl("-n", namespace, "expose", "pod", "web", "--type=LoadBalancer")
    wait_for(namespace, "service/web", "jsonpath={.status.loadBalancer.ingress}")
    wait_for(namespace, "pod/web")
    found = cluster.get("-n", namespace, "service", "web")
    address, node_port = found["status"]["loadBalancer"]["ingress"][0]["ip"], found["spec"]["ports"][0]["nodePort"]
    assert address.startswith("127."), "root may listen on port 80"
    for url in (f"http://{address}/", f"http://127.0.0.1:{node_port}/"):
        until(answers(url, "nginx runs"))
    cluster.kubectl("-n", namespace, "patch", "service", "web", "-p", '{"spec": {"type": "ClusterIP"}}')
    until(lambda: not answers(f"http://{address}/", "nginx runs")())
    cluster.kubectl("-n", namespace, "patch", "service", "web", "-p", '{"spec": {"type": "NodePort"}}')
    node_port = cluster.get("-n", namespace, "service", "web")["spec"]["ports"][0]["nodePort"]
    until(answers(f"http://127.0.0.1:{node_port}/", "nginx runs"))
    cluster.kubectl("-n", namespace, "delete", "service", "web")
    until(lambda: not answers(f"http://127.0.0.1:{node_port}/", "nginx runs")())


@pytest.mark.cluster
def test_a_port_that_another_program_holds_is_said_and_opened_once_it_is_free(
    cluster: Any, namespace: str, wait_for: Callable[..., str]
) -> None:
    cluster.kubectl("-n", namespace, "run", "web", "--image=nginx", "--port=80")
    several = gateway_ports.STATIC_NODE_PORTS[40:]
    with gateway_ports.listen_on_any(random.sample(several, len(several))) as held:  # other runs on this machine take others
        number = held.getsockname()[1]
        spec = {"type": "NodePort", "selector": {"run": "web"}, "ports": [{"port": 80, "nodePort": number}]}
        cluster.apply(namespace, json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}))

        def events() -> str:
            return str(cluster.kubectl("-n", namespace, "get", "events", "--field-selector=reason=HostPortNotOpened"))

        until(lambda: f"127.0.0.1:{number}" in events())
        listed = next(each for each in clusters.ports(clusters.get(cluster.name)) if each.namespace == namespace)
        assert "another program" in listed.why
    wait_for(namespace, "pod/web")
    until(answers(f"http://127.0.0.1:{number}/", "nginx runs"))
    until(lambda: not [each for each in clusters.ports(clusters.get(cluster.name)) if each.namespace == namespace and each.why])


@pytest.mark.cluster
def test_the_gateways_service_shows_the_ports_that_answer(cluster: Any) -> None:
    found = cluster.get("-n", "istio-system", "service", "istio-ingressgateway")
    ports = {each["port"]: each["nodePort"] for each in found["spec"]["ports"]}
    started = clusters.get(cluster.name)
    assert (ports[80], ports[443]) == (started.ingress_port, started.https_port)
    assert cluster.ingress_url == f"http://127.0.0.1:{ports[80]}"
    address = found["status"]["loadBalancer"]["ingress"][0]["ip"]
    until(answers(f"http://{address}:15021/healthz/ready", ""))
    until(answers(f"http://127.0.0.1:{ports[15021]}/healthz/ready", ""))


class OrdinaryUser:
    """The host's sockets as an ordinary user has them: no port below 1024. The ports of this test are not opened at all."""

    def listening(self, _: str, port: int) -> socket.socket:
        if port < 1024:
            raise PermissionError(errno.EACCES, "Permission denied")
        return socket.create_server(("127.0.0.1", 0))


class Heard:
    """Records what is sent to the API server and the events."""

    def __init__(self) -> None:
        self.statuses: list[dict[str, Any]] = []
        self.events: list[tuple[str, str]] = []

    async def patch(self, _: str, body: dict[str, Any]) -> None:
        self.statuses.append(body["status"]["loadBalancer"]["ingress"][0])

    def record(self, _: object, __: str, reason: str, message: str) -> None:
        self.events.append((reason, message))


async def test_where_port_80_is_not_allowed_an_address_inside_is_given_and_the_way_from_here_said() -> None:
    heard = Heard()
    told: list[list[host_ports.OpenPort]] = []
    ports = host_ports.HostPorts(
        heard,
        heard,
        OrdinaryUser(),
        cluster="a",
        node_ip=NODE,
        reserved=(),
        changed=told.append,  # type: ignore[arg-type]  # what they do here
    )
    for name in ("one", "two"):
        made = service("LoadBalancer", [{"name": "http", "port": 80, "nodePort": 30100}])
        made["metadata"] |= {"name": name, "uid": name}
        await ports._keep(made)
    assert [each["ip"] for each in heard.statuses] == ["172.18.0.100", "172.18.0.101"]
    assert {each["ipMode"] for each in heard.statuses} == {"VIP"}, "kube-proxy is to route it"
    reason, message = heard.events[0]
    assert reason == "LoadBalancerInside"
    assert "Permission denied" in message
    assert "http at 127.0.0.1:30100" in message
    for uid in ("one", "two"):
        ports._forget(uid)
