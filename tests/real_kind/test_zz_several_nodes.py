"""A kind cluster with two workers and Istio: injection, topology, canary, breaker and locality between pods on different nodes."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import RealCluster
from waiting import until

from meshcourse.backends.kind import Kind
from meshcourse.kube.connection import Connection
from meshcourse.measure import proxy_counters, topology

from .conftest import NAME, Run, anew

pytestmark = anew

SPACE = "across"
WORKERS = {"east": "east-b", "west": "west-a"}
"""The region and the zone of each worker."""
COUNTED = json.dumps(
    {
        "proxy.istio.io/config": json.dumps(
            {"proxyStatsMatcher": {"inclusionRegexps": [r"cluster\.(in|out)bound.*(upstream_rq_|ssl\.handshake).*"]}}
        )
    }
)
"""The annotation by which an Envoy counts calls, which the topology is drawn from."""
SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{region}}}
spec:
  selector: {{matchLabels: {{app: web, version: {region}}}}}
  template:
    metadata: {{labels: {{app: web, version: {region}}}, annotations: {counted}}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {{topology.kubernetes.io/zone: {zone}}}
      containers:
      - name: server
        image: busybox
        command: [sh, -c, 'mkdir /tmp/www && echo {region} > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www']
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: caller-{region}}}
spec:
  selector: {{matchLabels: {{app: caller, version: {region}}}}}
  template:
    metadata: {{labels: {{app: caller, version: {region}}}, annotations: {counted}}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {{topology.kubernetes.io/zone: {zone}}}
      containers: [{{name: curl, image: curlimages/curl, command: [sleep, infinity]}}]
---
"""
SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}}"
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets: [{name: east, labels: {version: east}}, {name: west, labels: {version: west}}]
"""
WEIGHTS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec:
  hosts: [web]
  http:
  - route:
    - {{destination: {{host: web, subset: east}}, weight: {east}}}
    - {{destination: {{host: web, subset: west}}, weight: {west}}}
"""
BREAKER = """
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}
"""
LOCALITY = """
  trafficPolicy:
    loadBalancer: {localityLbSetting: {enabled: true, failover: [{from: east, to: west}, {from: west, to: east}]}}
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1m, maxEjectionPercent: 100}
"""


@pytest.fixture(scope="module")
def three(cli: Run) -> Iterator[RealCluster]:
    """The cluster anew with a control plane and two workers, and a server and a client on each worker."""
    cluster = Kind(NAME)
    cli("down", "--name", cluster.name)
    up = cli("up", "--name", cluster.name, "--backend", "kind", "--images", "made", "--nodes", "3", timeout=1200)
    sys.stderr.write(f"\n{up.stderr}")
    environment = {**os.environ, **cluster.environment()}
    found = RealCluster(
        cluster.name,
        cluster.kubeconfig().parent,
        cluster.kubeconfig(),
        cluster.ingress_url(),
        environment,
        Connection(cluster.kubeconfig(), cluster.ingress_url(), cluster.environment()),
    )
    found.kubectl("create", "namespace", SPACE)
    found.kubectl("label", "namespace", SPACE, "istio-injection=enabled")
    found.apply(SPACE, "".join(SERVER.format(region=region, zone=zone, counted=COUNTED) for region, zone in WORKERS.items()) + SERVICE)
    for region in WORKERS:
        for app in ("web", "caller"):
            found.kubectl("-n", SPACE, "rollout", "status", f"deployment/{app}-{region}", "--timeout=180s", timeout=200)
    yield found
    cli("down", "--name", cluster.name)


def called(cluster: RealCluster, region: str, times: int = 40) -> Counter[str]:
    """Which servers answer the client in `region`, and how often."""
    asked = f"for n in $(seq {times}); do curl -s -m 3 http://web:8080; done"
    return Counter(cluster.kubectl("-n", SPACE, "exec", f"deployment/caller-{region}", "-c", "curl", "--", "sh", "-c", asked).split())


def test_three_nodes_are_ready_and_the_workers_lie_in_two_zones(three: RealCluster) -> None:
    nodes = three.get("nodes")["items"]
    assert len(nodes) == 3
    assert {each["metadata"]["labels"].get("topology.kubernetes.io/zone") for each in nodes} == {None, *WORKERS.values()}


def test_every_pod_of_both_workers_has_a_sidecar(three: RealCluster) -> None:
    pods = three.get("-n", SPACE, "pods")["items"]
    assert Counter(each["metadata"]["labels"]["app"] for each in pods) == {"web": 2, "caller": 2}
    assert len({each["spec"]["nodeName"] for each in pods}) == 2
    for each in pods:
        ready = {
            status["name"]: status["ready"] for key in ("initContainerStatuses", "containerStatuses") for status in each["status"][key]
        }
        assert ready["istio-proxy"], each["metadata"]["name"]


@pytest.mark.parametrize(("east", "west"), [(100, 0), (50, 50), (0, 100)])
def test_a_canary_across_workers_gets_its_share(three: RealCluster, east: int, west: int) -> None:
    three.apply(SPACE, RULE + "---" + WEIGHTS.format(east=east, west=west))
    wanted = {region for region, weight in (("east", east), ("west", west)) if weight}
    for region in WORKERS:
        until(lambda region=region: called(three, region).keys() == wanted, 30)


def test_the_topology_shows_calls_between_the_workers_by_mutual_tls(three: RealCluster) -> None:
    three.apply(SPACE, RULE + "---" + WEIGHTS.format(east=50, west=50))
    until(lambda: called(three, "east").keys() == {"east", "west"}, 30)
    before = proxy_counters.read(three.connection, SPACE)
    for region in WORKERS:
        called(three, region)
    found = topology.between(before, proxy_counters.read(three.connection, SPACE))
    for source in WORKERS:
        for target in WORKERS:
            assert found.edge(f"caller-{source}", f"web-{target}").rate > 0, str(found)
    assert all(edge.mutual_tls for edge in found.edges)


def test_a_breaker_rejects_calls_to_the_other_worker(three: RealCluster) -> None:
    three.apply(SPACE, WEIGHTS.format(east=0, west=100) + "---" + RULE.rstrip() + BREAKER)
    asked = "for n in $(seq 20); do curl -s -m 5 -o /dev/null -w '%{http_code} ' http://web:8080 & done; wait"
    caller = ["-n", SPACE, "exec", "deployment/caller-east", "-c", "curl", "--"]
    until(lambda: {"200", "503"} <= set(three.kubectl(*caller, "sh", "-c", asked).split()), 60)


def test_traffic_stays_on_its_worker_and_fails_over_to_the_other(three: RealCluster) -> None:
    three.kubectl("-n", SPACE, "delete", "virtualservice", "web")
    three.apply(SPACE, RULE.rstrip() + LOCALITY)
    for region in WORKERS:
        until(lambda region=region: called(three, region) == {region: 40}, 30)
    three.kubectl("-n", SPACE, "scale", "deployment/web-east", "--replicas=0")
    for region in WORKERS:
        until(lambda region=region: called(three, region) == {"west": 40}, 30)


@pytest.mark.parametrize("chapter", ["5", "6"])
def test_canary_and_breaker_chapters_pass_on_two_workers(three: RealCluster, chapter: str, cli: Run, tmp_path: Path) -> None:
    done = cli("notebooks", "run", chapter, "--solutions", "--name", three.name, "--no-compare", "--out", tmp_path, timeout=900)
    sys.stderr.write(f"\n{done.stdout}\n")
    assert "passed" in done.stdout
