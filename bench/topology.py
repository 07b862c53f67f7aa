"""How the topology panel's cost grows with the mesh: 3, 10 and 30 small services, each with a sidecar, that call each other.

Refreshes are timed one by one while that load runs; the kernel is this process, without a browser, as in soak.py, and it sends the load
too. It creates and deletes its own namespace.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Final

import psutil

from bench import arguments, soak
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.measure import proxy_counters, topology
from meshcourse.mesh import propagation
from meshcourse.traffic import pacing
from meshcourse.traffic.sender import Sender
from meshcourse.traffic.targets import Target
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import topology as picture
from meshcourse.widgets.panels.topology import TICK, TopologyPanel

NAMESPACE: Final = "bench-topology"
HOST: Final = "tree.example.com"
RATE: Final = 2.0
"""Requests per second at the gateway."""
MOST_REFRESH: Final = TICK
"""Seconds: the limit for a panel that is drawn each second."""
_WAY_IN: Final = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: tree}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    hosts: [{HOST}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: tree}}
spec:
  hosts: [{HOST}]
  gateways: [tree]
  http:
  - route:
    - destination: {{host: s0, port: {{number: 8080}}}}
"""
_SERVICE: Final = r"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports:
  - {{name: http, port: 8080}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations:
        proxy.istio.io/config: |
          proxyStatsMatcher:
            inclusionRegexps:
            - "cluster\\.(in|out)bound\\|8080\\|.*(upstream_rq_|ssl\\.handshake).*"
    spec:
      containers:
      - name: fortio
        image: fortio/fortio:latest_release
        args: {arguments}
        readinessProbe:
          tcpSocket: {{port: 8080}}
          periodSeconds: 1
"""
_QUIET: Final = ("server", "-grpc-port", "disabled", "-tcp-port", "disabled", "-udp-port", "disabled", "-redirect-port", "disabled")


def tree(services: int) -> str:
    """The manifests of so many services, with the gateway's rules."""
    return "---".join([_WAY_IN, *(_service(number, services) for number in range(services))])


def _service(number: int, services: int) -> str:
    called = [f"http://s{each}:8080" for each in (2 * number + 1, 2 * number + 2) if each < services]
    serving = ("-http-port", "disabled", "-M", " ".join(["8080", *called])) if called else ("-http-port", "8080")
    return _SERVICE.format(name=f"s{number}", arguments=json.dumps([*_QUIET, *serving]))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All sizes, in one namespace that grows."""
    connection = arguments.connection(options)
    namespace = f"""
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels: {{istio-injection: enabled}}
"""
    resources.apply(connection, namespace)
    try:
        sizes = [_size(connection, services, options) for services in sorted(options.services)]
    finally:
        resources.delete(connection, namespace)
    last = sizes[-1]
    return {
        "benchmark": "topology",
        "rate": RATE,
        "sizes": sizes,
        "at_most": {"refresh_p95_ms": 1000 * MOST_REFRESH, "cpu_of_a_core": soak.MOST_CPU},
        "ok": last["refresh_p95_ms"] <= 1000 * MOST_REFRESH and last["cpu_of_a_core"] <= soak.MOST_CPU,
    }


def _size(connection: Connection, services: int, options: argparse.Namespace) -> dict[str, float]:
    resources.apply(connection, tree(services), namespace=NAMESPACE)
    resources.wait_for_rollout(connection, NAMESPACE, [f"s{number}" for number in range(services)], timeout=300.0)
    propagation.wait(connection, NAMESPACE, timeout=60.0)
    refreshes = asyncio.run(_refreshes(connection, options.rounds))
    whole = sorted(map(sum, refreshes))
    asked, modelled, drawn = (statistics.median(each) for each in zip(*refreshes, strict=True))
    return {
        "services": services,
        "refresh_ms": round(1000 * statistics.median(whole), 1),
        "refresh_p95_ms": round(1000 * whole[max(0, round(0.95 * len(whole)) - 1)], 1),
        "proxies_ms": round(1000 * asked, 1),
        "model_ms": round(1000 * modelled, 2),
        "figure_ms": round(1000 * drawn, 2),
        **_panel(connection, services, options.seconds),
    }


async def _refreshes(connection: Connection, rounds: int) -> list[tuple[float, float, float]]:
    """(seconds to read all proxies, to make the model, to make the figure and its message) for each round, with load on all edges."""
    target = Target(f"{connection.ingress_url}/", host=HOST)
    found = []
    async with Sender(target) as sender:
        load = asyncio.create_task(sender.run(pacing.constant(RATE), lambda _: None))
        try:
            before = await asyncio.to_thread(proxy_counters.read, connection, NAMESPACE)
            live = live_figure.made(picture.figure(topology.between(before, before)))
            for _ in range(rounds):
                began = time.perf_counter()
                sample = await asyncio.to_thread(proxy_counters.read, connection, NAMESPACE)
                asked = time.perf_counter()
                seen = topology.between(before, sample)
                modelled = time.perf_counter()
                picture.update(live, seen)
                found.append((asked - began, modelled - asked, time.perf_counter() - modelled))
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
    return found


def _panel(connection: Connection, services: int, seconds: float) -> dict[str, float]:
    """A live panel's share of a core and its pictures per second, from the moment when it shows calls to every service."""
    here = psutil.Process()
    with TopologyPanel(connection, namespace=NAMESPACE, headers={"Host": HOST}) as panel:
        panel.start(rate=RATE)
        for number in range(services):
            panel.wait_for(f"s{(number - 1) // 2}" if number else topology.OUTSIDE, f"s{number}", within=60.0)
        began, used, ticks = time.monotonic(), soak.processor_seconds(here), panel.widgets.figure.tick
        time.sleep(seconds)
        wall = time.monotonic() - began
        cpu, drawn = soak.processor_seconds(here) - used, panel.widgets.figure.tick - ticks
        panel.stop()
    return {"cpu_of_a_core": round(cpu / wall, 3), "draws_per_second": round(drawn / wall, 2)}


def main() -> None:
    """Measure and print."""
    parser = arguments.of_a_cluster(__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=[3, 10, 30])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    print(json.dumps(measure(parser.parse_args())))  # noqa: T201 - the benchmark's output


if __name__ == "__main__":
    main()
