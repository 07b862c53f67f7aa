"""A cluster of three nodes, and what happens when one of them is lost."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from real_cluster import RealCluster
from waiting import until

from meshcourse.cluster import clusters, node_power
from meshcourse.core import files
from meshcourse.core.errors import ClusterError
from meshcourse.mesh.install import installation

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

SERVER = """
      terminationGracePeriodSeconds: 0
      containers:
      - name: server
        image: busybox
        command: [sh, -c, 'mkdir /tmp/www && echo "$NODE" > /tmp/www/index.html && echo "on $NODE" && exec httpd -f -p 8080 -h /tmp/www']
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
"""
SPREAD = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: spread}}
spec:
  replicas: 6
  selector: {{matchLabels: {{app: spread}}}}
  template:
    metadata: {{labels: {{app: spread}}}}
    spec: {SERVER}
---
apiVersion: v1
kind: Service
metadata: {{name: spread}}
spec: {{selector: {{app: spread}}, type: NodePort, ports: [{{name: http, port: 8080}}]}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: everywhere}}
spec:
  selector: {{matchLabels: {{app: everywhere}}}}
  template:
    metadata: {{labels: {{app: everywhere}}}}
    spec: {SERVER}
"""
ZONED = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: zoned-{zone}}}
spec:
  selector: {{matchLabels: {{app: zoned, zone: {zone}}}}}
  template:
    metadata: {{labels: {{app: zoned, zone: {zone}}}}}
    spec:
      nodeSelector: {{topology.kubernetes.io/zone: {zone}}}{server}
---
"""
LOCALITY = """
apiVersion: v1
kind: Service
metadata: {name: zoned}
spec: {selector: {app: zoned}, ports: [{name: http, port: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: zoned}
spec:
  host: zoned
  trafficPolicy:
    loadBalancer:
      localityLbSetting: {enabled: true, failover: [{from: east, to: west}]}
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1m}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client, sidecar.istio.io/inject: "true"}}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {topology.kubernetes.io/zone: east-a}
  containers: [{name: client, image: curlimages/curl, command: [sleep, infinity]}]
"""


@pytest.fixture(scope="module")
def three(cluster: object) -> Iterator[RealCluster]:
    """A cluster of three nodes beside the session's, with servers on all of them."""
    started = clusters.up(f"three-{os.getpid()}", ingress_port=0, nodes=3)
    try:
        found = RealCluster.of(started)
        found.apply("default", SPREAD)
        yield found
    finally:
        clusters.down(started.name)


@pytest.fixture(scope="module")
def nodes(three: RealCluster) -> tuple[str, str, str]:
    """Their names."""
    return three.name, f"{three.name}-2", f"{three.name}-3"


@pytest.fixture(scope="module")
def lost(three: RealCluster, nodes: tuple[str, str, str]) -> float:
    """The moment at which the third node was switched off."""
    assert node_power.stop(clusters.get(three.name), nodes[2])
    return time.monotonic()


def pods(cluster: RealCluster, app: str) -> dict[str, list[str]]:
    """The pods of an app that are not being deleted, by node."""
    found: dict[str, list[str]] = {}
    for pod in cluster.get("pods", "--selector", f"app={app}")["items"]:
        if "deletionTimestamp" not in pod["metadata"]:
            found.setdefault(pod["spec"].get("nodeName", ""), []).append(pod["metadata"]["name"])
    return found


def ready(cluster: RealCluster) -> dict[str, bool]:
    conditions = {each["metadata"]["name"]: each["status"]["conditions"] for each in cluster.get("nodes")["items"]}
    return {name: any((each["type"], each["status"]) == ("Ready", "True") for each in found) for name, found in conditions.items()}


def rollout(cluster: RealCluster, *names: str) -> None:
    for name in names:
        cluster.kubectl("rollout", "status", name, "--timeout=40s")


def test_three_nodes_are_ready_in_two_regions(three: RealCluster, nodes: tuple[str, str, str]) -> None:
    assert ready(three) == dict.fromkeys(nodes, True)
    labels = [each["metadata"]["labels"] for each in three.get("nodes")["items"]]
    assert [each["kubernetes.io/hostname"] for each in labels] == list(nodes)
    assert [each["topology.kubernetes.io/region"] for each in labels] == ["east", "east", "west"]
    assert [each["topology.kubernetes.io/zone"] for each in labels] == ["east-a", "east-b", "west-a"]


def test_pods_spread_and_their_service_answers_from_every_node(three: RealCluster, nodes: tuple[str, str, str]) -> None:
    rollout(three, "deployment/spread", "daemonset/everywhere")
    assert pods(three, "spread").keys() == set(nodes)
    assert {node: len(found) for node, found in pods(three, "everywhere").items()} == dict.fromkeys(nodes, 1)
    port = three.get("service", "spread")["spec"]["ports"][0]["nodePort"]
    asked = f"for n in $(seq 30); do wget -q -O - -T 2 http://$1; done"
    for where in ("spread:8080", f"172.18.0.2:{port}", f"172.18.0.4:{port}"):
        said = three.kubectl("exec", pods(three, "everywhere")[nodes[1]][0], "--", "sh", "-c", asked, "sh", where)
        assert set(said.split()) == set(nodes), where


def test_exec_logs_and_port_forward_reach_each_node(three: RealCluster, nodes: tuple[str, str, str]) -> None:
    for node, (pod,) in pods(three, "everywhere").items():
        assert three.kubectl("logs", pod) == f"on {node}\n"
        assert three.kubectl("exec", pod, "--", "cat", "/tmp/www/index.html") == f"{node}\n"
        assert forwarded(three, pod).endswith(f"{node}\n")


def forwarded(cluster: RealCluster, pod: str) -> str:
    """What the pod's server answers through `kubectl port-forward`."""
    words = ["kubectl", "port-forward", f"pod/{pod}", ":8080"]
    with subprocess.Popen(words, env=dict(cluster.environment), stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        try:
            port = int(re.findall(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())[0])
            with socket.create_connection(("127.0.0.1", port), timeout=5) as asking:
                asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: asking.recv(4096), b"")).decode()
        finally:
            forwarding.terminate()


def test_the_control_planes_node_and_unknown_ones_are_not_stopped(three: RealCluster) -> None:
    running = clusters.get(three.name)
    with pytest.raises(ClusterError) as refused:
        node_power.stop(running, three.name)
    assert refused.value.next == f"meshcourse node stop {three.name}-2"
    with pytest.raises(ClusterError) as unknown:
        node_power.stop(running, "nowhere")
    assert f"{three.name}-3" in unknown.value.why


def test_a_stopped_nodes_processes_end_and_its_address_goes(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    assert node_power.states(clusters.get(three.name))[nodes[2]] == "stopped"
    asking = pods(three, "everywhere")[nodes[0]][0]
    refused = three.run("kubectl", "exec", asking, "--", "wget", "-q", "-O", "-", "-T", "2", "http://172.18.0.4:10250", check=False)
    assert "unreachable" in refused.stderr
    (there,) = (each for each in three.get("pods", "--selector", "app=everywhere")["items"] if each["spec"]["nodeName"] == nodes[2])
    refused = three.run(
        "kubectl", "exec", asking, "--", "wget", "-q", "-O", "-", "-T", "2", f"http://{there['status']['podIP']}:8080", check=False
    )
    assert "unreachable" in refused.stderr


def test_drain_moves_the_pods_and_cordon_keeps_new_ones_away(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    assert pods(three, "spread")[nodes[1]]
    three.kubectl("drain", nodes[1], "--ignore-daemonsets", "--timeout=30s")
    assert nodes[1] not in pods(three, "spread")
    assert nodes[1] in pods(three, "everywhere")
    three.kubectl("uncordon", nodes[1])


def test_traffic_stays_in_its_zone_and_fails_over(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    installation.install(three.connection, "minimal")
    zones = ("east-a", "east-b", "west-a")
    three.apply("default", "".join(ZONED.format(zone=zone, server=SERVER) for zone in zones) + LOCALITY)
    three.kubectl("wait", "pod/client", "deployment/zoned-east-b", "--for=condition=Ready", "--for=condition=Available", check=False)
    three.kubectl("wait", "pod/client", "--for=condition=Ready", "--timeout=40s")
    rollout(three, "deployment/zoned-east-a", "deployment/zoned-east-b")

    def answers() -> Counter[str]:
        asked = "for n in $(seq 20); do curl -s -m 3 http://zoned:8080; done"
        return Counter(three.kubectl("exec", "client", "-c", "client", "--", "sh", "-c", asked).split())

    until(lambda: answers() == {nodes[0]: 20}, 15)
    three.kubectl("scale", "deployment/zoned-east-a", "--replicas=0")
    until(lambda: answers() == {nodes[1]: 20}, 15)
    until(lambda: not ready(three)[nodes[2]], 65 - (time.monotonic() - lost))
    assert node_power.start(clusters.get(three.name), nodes[2])
    rollout(three, "deployment/zoned-west-a")
    node_power.stop(clusters.get(three.name), nodes[1])
    until(lambda: answers() == {nodes[2]: 20}, 15)
