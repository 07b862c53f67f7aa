"""A cluster of three nodes, and what happens when one of them is lost."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1m, maxEjectionPercent: 100}
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
        # Kubernetes taints a node until it has seen it Ready; before that, all pods would go to the others.
        until(lambda: not any(each["spec"].get("taints") for each in found.get("nodes")["items"]))
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
    assert f"node {nodes[2]} is off" in command("node", "stop", nodes[2], "--name", three.name).stderr
    return time.monotonic()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """What the command line says."""
    given = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "meshcourse.cli.main", *words], env=given, capture_output=True, text=True, timeout=60, check=True
    )


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
    asked = "for n in $(seq 30); do timeout 3 wget -q -O - http://$1; done"
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
    assert refused.value.next == f"meshcourse node stop {three.name}-2 --name {three.name}"
    with pytest.raises(ClusterError) as unknown:
        node_power.stop(running, "nowhere")
    assert f"{three.name}-3" in unknown.value.why


def test_a_stopped_nodes_processes_end_and_its_address_goes(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    assert node_power.states(clusters.get(three.name))[nodes[2]] == "stopped"
    asking = pods(three, "everywhere")[nodes[0]][0]
    refused = three.run("kubectl", "exec", asking, "--", "wget", "-q", "-O", "-", "http://172.18.0.4:10250", check=False)
    assert "unreachable" in refused.stderr
    (there,) = (each for each in three.get("pods", "--selector", "app=everywhere")["items"] if each["spec"]["nodeName"] == nodes[2])
    refused = three.run("kubectl", "exec", asking, "--", "wget", "-q", "-O", "-", f"http://{there['status']['podIP']}:8080", check=False)
    assert "unreachable" in refused.stderr


def test_drain_moves_the_pods_and_cordon_keeps_new_ones_away(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    assert pods(three, "spread")[nodes[1]]
    three.kubectl("drain", nodes[1], "--ignore-daemonsets", "--timeout=30s")
    assert nodes[1] not in pods(three, "spread")
    assert nodes[1] in pods(three, "everywhere")
    three.kubectl("uncordon", nodes[1])


def test_traffic_stays_in_its_zone_and_else_in_its_region(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    installation.install(three.connection, "minimal")
    zones = ("east-a", "east-b", "west-a")
    three.apply("default", "".join(ZONED.format(zone=zone, server=SERVER) for zone in zones) + LOCALITY)
    three.kubectl("wait", "pod/client", "--for=condition=Ready", "--timeout=40s")
    rollout(three, "deployment/zoned-east-a", "deployment/zoned-east-b")
    until(lambda: answers(three) == {nodes[0]: 20}, 15)
    three.kubectl("scale", "deployment/zoned-east-a", "--replicas=0")
    until(lambda: answers(three) == {nodes[1]: 20}, 15)


def answers(cluster: RealCluster) -> Counter[str]:
    """Which nodes answer the client's Envoy, and how often out of 20."""
    asked = "for n in $(seq 20); do curl -s -m 3 http://zoned:8080; done"
    return Counter(cluster.kubectl("exec", "client", "-c", "client", "--", "sh", "-c", asked).split())


def test_kubernetes_finds_out_by_itself_that_a_node_is_lost(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    until(lambda: ready(three) == {nodes[0]: True, nodes[1]: True, nodes[2]: False}, 70 - (time.monotonic() - lost))
    said = command("status", "--name", three.name).stdout
    assert f"{nodes[2]} NotReady and switched off (meshcourse node start {nodes[2]} --name {three.name})" in said
    listed = command("node", "list", "--name", three.name).stdout
    assert re.search(rf"^ *{nodes[2]} +NotReady, switched off +west-a +172\.18\.0\.4 ", listed, re.MULTILINE)


def test_a_node_comes_back_with_its_pods(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    assert "is on, and Ready" in command("node", "start", nodes[2], "--name", three.name).stderr
    until(lambda: ready(three)[nodes[2]], 5)
    (pod,) = pods(three, "everywhere")[nodes[2]]
    three.kubectl("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=30s")
    (status,) = three.get("pod", pod)["status"]["containerStatuses"]
    assert (status["restartCount"], status["lastState"]["terminated"]["reason"]) == (1, "Unknown")
    assert three.kubectl("logs", pod) == f"on {nodes[2]}\n"


def test_traffic_leaves_its_region_when_nothing_of_it_answers(three: RealCluster, nodes: tuple[str, str, str], lost: float) -> None:
    rollout(three, "deployment/zoned-west-a")
    assert answers(three) == {nodes[1]: 20}
    node_power.stop(clusters.get(three.name), nodes[1])
    assert ready(three)[nodes[1]], "Kubernetes does not know yet: Envoy finds out by itself"
    until(lambda: answers(three) == {nodes[2]: 20}, 15)


def test_nothing_is_left_after_down(three: RealCluster) -> None:
    started = clusters.get(three.name)
    assert clusters.down(three.name)
    assert not files.is_locked(started.home / "lock")
    of_it = [each for each in Path("/proc").glob("[0-9]*/cmdline") if three.name.encode() in read(each)]
    assert of_it == []


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
