"""A cluster under load for a long time (`make soak`): whether requests fail while everything around them changes, and whether memory grows.

Requests go through the gateway at a constant rate. Meanwhile Deployments roll, weights change every two seconds, pods come and go in
another namespace, and Envoys beside the served pods are killed. A request may fail within FORGIVEN seconds after such a kill, as on any
cluster, and at no other time; what the gateway logged about failures, with Envoy's response flags, is kept. Each sample is the resident
memory and the descriptors of the daemon, and the number of its processes. Descriptors of the load's own connections are left out, and of
descriptors and processes the least of each quarter counts: pods that happen to come or go are no leak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from meshcourse.backends.embedded import Embedded
from meshcourse.cluster import clusters
from meshcourse.core import progress
from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import installation
from meshcourse.traffic import pacing
from meshcourse.traffic.results import Result
from meshcourse.traffic.sender import Sender
from meshcourse.traffic.targets import Target

NAME, SERVED, CHURN = "soak", "soak-served", "soak-churn"
MOST_GROWTH = 0.05
FORGIVEN = 10.0
ENOUGH = 50
"""Answers in a row, half of each version, that show that the gateway knows both."""
SAMPLE = 5.0
"""Seconds between two samples."""
FAILED = re.compile(r'HTTP/1.1" (0|5[0-9][0-9]) ')
"""In a line of the gateway's access log: the answer's code."""
RECORD = Path(__file__).parents[1] / "build" / "soak.json"
WEIGHTS, ROLLS, PODS, KILLS = "changes of weights", "rolls", "pods that came and went", "killed Envoys"
_VERSIONS = ("v1", "v2")
_KILL = "for each in $(grep -l ^/usr/local/bin/envoy /proc/[0-9]*/cmdline); do kill -9 $(echo $each | tr -dc 0-9) && echo killed; done"


def _app(version: str) -> dict[str, Any]:
    labels = {"app": "hello", "version": version}
    container = {
        "name": "hello",
        "image": f"docker.io/istio/examples-helloworld-{version}",
        "ports": [{"containerPort": 5000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 5000}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 8}}},  # until every Envoy has heard that it goes
    }
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 20}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "strategy": strategy, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"hello-{version}"}, "spec": spec}


def _routing(first: int) -> list[dict[str, Any]]:
    """The rules that send `first` percent to v1."""
    network, subsets = "networking.istio.io/v1", [{"name": each, "labels": {"version": each}} for each in _VERSIONS]
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    routes = [{"destination": {"host": "hello", "subset": v}, "weight": w} for v, w in zip(_VERSIONS, (first, 100 - first), strict=True)]
    meta = {"metadata": {"name": "hello"}, "apiVersion": network}
    return [
        {**meta, "kind": "Gateway", "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]}},
        {**meta, "kind": "DestinationRule", "spec": {"host": "hello", "subsets": subsets}},
        {**meta, "kind": "VirtualService", "spec": {"hosts": ["*"], "gateways": ["hello"], "http": [{"route": routes}]}},
    ]


@dataclass
class Soak:
    """One run: what was seen so far."""

    connection: Connection
    daemon: psutil.Process
    seconds: float
    rate: float
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[float, str]] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, float]] = field(default_factory=list)
    logged: dict[str, None] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def kubectl(self, *words: str, stdin: Any = None) -> str:  # noqa: ANN401 - an object to apply
        """Run kubectl and return its output; a failure is counted and gives ""."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": stdin}) if isinstance(stdin, list) else json.dumps(stdin)
        environment = {**os.environ, **self.connection.environment}
        ran = subprocess.run(["kubectl", *words], env=environment, input=text, capture_output=True, text=True, timeout=120, check=False)
        self.done["kubectl failed"] += ran.returncode != 0
        return ran.stdout if ran.returncode == 0 else ""

    def prepare(self) -> None:
        """Make what is served."""
        for name in (SERVED, CHURN):
            self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", SERVED, "istio-injection=enabled")
        port = {"name": "http", "port": 5000}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hello"},
            "spec": {"selector": {"app": "hello"}, "ports": [port]},
        }
        self.kubectl("-n", SERVED, "apply", "-f", "-", stdin=[service, *map(_app, _VERSIONS), *_routing(50)])
        for each in _VERSIONS:
            self.kubectl("-n", SERVED, "rollout", "status", f"deployment/hello-{each}", "--timeout=110s")
        asyncio.run(self._until_all_answer())

    async def _until_all_answer(self) -> None:
        """Wait until the gateway's Envoy knows the pods of both versions: fifty answers in a row."""
        async with asyncio.timeout(60), Sender(self._target()) as sender:
            found: list[Result] = []
            while len(found) < ENOUGH or not all(each.ok for each in found[-ENOUGH:]):
                await sender.run(pacing.constant(self.rate, seconds=ENOUGH / self.rate), found.append)

    def _target(self) -> Target:
        return Target(f"{self.connection.ingress_url}/hello", timeout=10.0)

    def run(self, weigh: float, roll: float, churn: float, kill: float) -> None:
        """Load, and everything around it; the numbers are seconds between two of each kind."""
        works = {WEIGHTS: (weigh, self._weigh), ROLLS: (roll, self._roll), PODS: (churn, self._churn), KILLS: (kill, self._kill)}
        threads = [threading.Thread(target=self._again, args=(name, every, work), daemon=True) for name, (every, work) in works.items()]
        threads.append(threading.Thread(target=self._sample, daemon=True))
        for thread in threads:
            thread.start()
        try:
            asyncio.run(self._load())
        finally:
            self.over.set()
            for thread in threads:
                thread.join(150)

    async def _load(self) -> None:
        def receive(result: Result) -> None:
            self.codes[result.code] += 1
            if not result.ok:
                self.failures.append((result.started, result.code))

        async with Sender(self._target()) as sender:
            await sender.run(pacing.constant(self.rate, seconds=self.seconds), receive)

    def _again(self, name: str, every: float, work: Callable[[], int]) -> None:
        while not self.over.wait(every):
            self.done[name] += work()

    def _weigh(self) -> int:
        self.kubectl("-n", SERVED, "apply", "-f", "-", stdin=_routing(10 + self.done[WEIGHTS] * 37 % 81)[2:])
        return 1

    def _roll(self) -> int:
        which = f"deployment/hello-{_VERSIONS[self.done[ROLLS] % 2]}"
        self.kubectl("-n", SERVED, "rollout", "restart", which)
        self.kubectl("-n", SERVED, "rollout", "status", which, "--timeout=110s")
        return 1

    def _churn(self) -> int:
        run = {"name": "app", "image": "busybox", "command": ["sh", "-c", "echo here; sleep 1"]}
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [run]}
        pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"}, "spec": spec} for _ in range(5)]
        self.kubectl("-n", CHURN, "create", "-f", "-", stdin=pods)
        self.kubectl("-n", CHURN, "wait", "pod", "--all", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        self.kubectl("-n", CHURN, "delete", "pod", "--all", "--wait=true")
        return len(pods)

    def _kill(self) -> int:
        """Kill one Envoy beside a served pod, not a gateway's."""
        pods = self.kubectl("-n", SERVED, "get", "pods", "-o", "name").split()
        if not pods:
            return 0
        self.kills.append(time.time())
        return bool(self.kubectl("-n", SERVED, "exec", pods[self.done[KILLS] % len(pods)], "-c", "istio-proxy", "--", "sh", "-c", _KILL))

    def _sample(self) -> None:
        while not self.over.wait(SAMPLE):
            if any(time.time() - when < 2 * SAMPLE for when, _ in self.failures):
                self.logged |= dict.fromkeys(self._failures_in_the_log())
            self.samples.append(
                {
                    "memory": self.daemon.memory_info().rss,
                    "descriptors": self.daemon.num_fds() - 2 * self._connections(),
                    "processes": len(self.daemon.children(recursive=True)),
                }
            )

    def _connections(self) -> int:
        """How many connections the load has; the daemon passes each one on, with two descriptors."""
        port = int(self.connection.ingress_url.rpartition(":")[2])
        return sum(bool(each.raddr) and each.raddr.port == port for each in psutil.Process().net_connections("tcp"))

    def _failures_in_the_log(self) -> list[str]:
        words = ("-n", "istio-system", "logs", "deployment/istio-ingressgateway", f"--since={3 * SAMPLE:.0f}s")
        return [line for line in self.kubectl(*words).splitlines() if FAILED.search(line)]

    def unforgiven(self) -> list[tuple[float, str]]:
        """The failures that no kill explains."""
        return [(when, code) for when, code in self.failures if not any(0 <= when - kill <= FORGIVEN for kill in self.kills)]

    def report(self) -> dict[str, Any]:
        """What was measured, as JSON."""
        quarter = max(1, len(self.samples) // 4)
        early, late = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        of_a_quarter = {"memory": statistics.median, "descriptors": min, "processes": min}
        flat = {name: [figure(each[name] for each in part) for part in (early, late)] for name, figure in of_a_quarter.items()}
        growth = {name: round(last / first - 1, 4) for name, (first, last) in flat.items()}
        bad = self.unforgiven()
        return {
            "benchmark": "cluster_soak",
            "seconds": self.seconds,
            "rate": self.rate,
            "answers": dict(self.codes),
            "failed_after_a_kill": len(self.failures) - len(bad),
            "failed_otherwise": len(bad),
            "flags": dict(Counter(line.split('" ')[1].split()[1] for line in self.logged)),
            "done": dict(self.done),
            "second_and_last_quarter": flat,
            "growth": growth,
            "ok": not bad and all(each <= MOST_GROWTH for each in growth.values()),
        }


@contextmanager
def _cluster() -> Iterator[tuple[Connection, psutil.Process]]:
    name = f"{NAME}-{os.getpid()}"
    try:
        with progress.step("Starting a cluster with Istio"):
            started = clusters.up(name, ingress_port=0)
            backend = Embedded(name)
            connection = Connection(backend.kubeconfig(), backend.ingress_url(), backend.environment())
            installation.install(connection)
        everything = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
        daemons = [each for each in everything if "meshcourse.cluster.daemon" in " ".join(each.cmdline())]
        yield connection, max(daemons, key=lambda each: each.memory_info().rss)
    finally:
        clusters.down(name)


def main() -> int:
    """Run it, keep the record and say how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--weigh", type=float, default=2.0, help="seconds between two changes of the weights")
    parser.add_argument("--roll", type=float, default=20.0, help="seconds between two rolls")
    parser.add_argument("--churn", type=float, default=5.0, help="seconds between two groups of pods")
    parser.add_argument("--kill", type=float, default=60.0, help="seconds between two killed Envoys")
    options = parser.parse_args()
    with _cluster() as (connection, daemon):
        soak = Soak(connection, daemon, options.minutes * 60, options.rate)
        soak.prepare()
        with progress.step(f"{options.minutes:g} minutes of {options.rate:g} requests per second"):
            soak.run(options.weigh, options.roll, options.churn, options.kill)
        found = soak.report()
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    seen = {"samples": soak.samples, "failures": soak.failures, "kills": soak.kills, "logged": list(soak.logged)}
    RECORD.write_text(json.dumps({**found, **seen}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))  # noqa: T201 - the benchmark's output
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
