"""Measure the README's figures: `make bench`, or `python -m bench`. `python -m bench --kind` measures a kind cluster with made images."""

from __future__ import annotations

import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
from rich import box
from rich.table import Table

from bench import soak
from meshcourse.authoring import course_images
from meshcourse.backends import containers, lookup
from meshcourse.backends.kind import Kind
from meshcourse.backends.programs import search_path
from meshcourse.cli import display
from meshcourse.cluster import clusters
from meshcourse.core import progress
from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import installation

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "notebooks" / "manifests" / "05_canary"
BOOKINFO = ROOT / "notebooks" / "manifests" / "04_bookinfo" / "01-bookinfo.yaml"
NAMESPACE = "bench"
LOAD = ("fortio", "load", "-quiet", "-json", "-", "-c", "8", "-qps", "0", "-t", "10s", "http://istio-ingressgateway.istio-system/")
STARTS = 3
SLIDER_NEEDS = ("01", "02", "03", "04", "05")
"""Numbers of the chapter's manifests up to its first working canary."""
VIRTUAL_SERVICE = "web"
THROUGH_THE_GATEWAY = 3000
"""Requests per second, with everything on two cores."""
AT_REST = 10
"""Readings of memory, one a second, that must agree to count as at rest."""
IDLE_SECONDS = 60.0
RATES = ("10", "100", "500")
"""Requests per second, to see how a panel's cost grows; the long run has 200."""


Line = dict[str, Any]
"""One measurement: `benchmark`, `ok`, and its figures."""


def main() -> int:
    """Run all; print each figure as soon as it is known."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as state:
        os.environ["MESHCOURSE_STATE"] = state
        try:
            for line in _kind() if sys.argv[1:] == ["--kind"] else itertools.chain([_script("load_client")], _cluster()):
                print(json.dumps(line), flush=True)  # noqa: T201 - the benchmark's output
                lines.append(line)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave a cluster behind
            for cluster in lookup.running():
                cluster.down()
            progress.console.print(table(lines))
    return 0 if all(line["ok"] for line in lines) else 1


def table(lines: Iterable[Line]) -> Table:
    """All figures as a table: name, whether the goal was met, the values."""
    made = Table(box=box.SIMPLE, title=f"{os.cpu_count()} cores")
    for heading in ("benchmark", "goal", "figures"):
        made.add_column(heading)
    for line in lines:
        figures = {key: value for key, value in line.items() if key not in {"benchmark", "ok", "cores"}}
        made.add_row(line["benchmark"], "met" if line["ok"] else "MISSED", ", ".join(f"{key} {value}" for key, value in figures.items()))
    return made


def _cluster() -> Iterator[Line]:
    name = f"bench-{os.getpid()}"
    starts = []
    for _ in range(STARTS):
        clusters.down(name)
        starts.append(_seconds(lambda: clusters.up(name, ingress_port=0)))
    yield _figure("up_to_ready_node", statistics.median(starts), 6.0, "s", runs=[round(each, 2) for each in starts])
    found = clusters.get(name)
    path = search_path(os.environ["PATH"])
    connection = Connection(found.kubeconfig, found.ingress_url, {"PATH": path, "KUBECONFIG": str(found.kubeconfig)})
    assert installation.status(connection) is None  # noqa: S101 - and Python's Kubernetes client is imported, which is not istioctl's time
    yield _figure("istioctl_install_demo", _seconds(lambda: installation.install(connection)), 8.0, "s")
    kubectl = _kubectl(connection)
    yield from _mesh(connection, kubectl, lambda: proportional_memory(found.pid))
    yield _idle(found.pid)
    words = _route(connection)
    for rate in RATES:
        yield _script("soak", *words, "--rate", rate, "--seconds", "30")
    yield _script("soak", *words)
    kubectl("delete", "deployments,gateways,virtualservices", "--all")  # the following measurements start their own cluster
    yield _script("topology", *words[:4])
    yield _script("paint", "--name", name)
    yield _script("pods", *words[:4])
    yield _figure("down", _seconds(lambda: clusters.down(name)), 2.0, "s")


def _kind() -> Iterator[Line]:
    """A kind cluster with made images. The goals are the embedded cluster's: the figures are beside each other in docs/figures.md."""
    cluster = Kind(f"bench-{os.getpid()}", images="made", course=course_images.of_chapters())
    yield _figure("up_to_ready_node", _seconds(lambda: cluster.up(display.report)), 6.0, "s")
    connection = Connection(cluster.kubeconfig(), cluster.ingress_url(), cluster.environment())
    assert installation.status(connection) is None  # noqa: S101 - as above
    yield _figure("istioctl_install_demo", _seconds(lambda: installation.install(connection)), 8.0, "s")
    cluster.settle()
    engine = containers.find()
    words = [engine.program, "inspect", "--format", "{{.State.Pid}}", f"{cluster.name}-control-plane"]
    pid = int(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)
    yield from _mesh(connection, _kubectl(connection), lambda: proportional_memory(pid))
    yield _figure("down", _seconds(cluster.down), 2.0, "s")


def _route(connection: Connection) -> tuple[str, ...]:
    """The arguments of the benchmarks that move a slider or show one."""
    route = ("--url", f"{connection.ingress_url}/", "--virtual-service", f"{NAMESPACE}/{VIRTUAL_SERVICE}")
    return ("--kubeconfig", str(connection.kubeconfig), *route)


def _kubectl(connection: Connection) -> Callable[..., str]:
    def kubectl(*words: str) -> str:
        argv = ["kubectl", "-n", NAMESPACE, *words]
        return subprocess.run(argv, env=connection.child_environment(), check=True, stdout=subprocess.PIPE, text=True).stdout

    return kubectl


def _mesh(connection: Connection, kubectl: Callable[..., str], memory: Callable[[], int]) -> Iterator[Line]:
    """What is measured on every kind of cluster, once Istio runs; `memory` reads the cluster's bytes of PSS."""
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "istio-injection=enabled")

    def pod_ready(name: str) -> None:
        kubectl("run", name, "--image=nginx", "--labels=app=bench")
        kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

    pods = [_seconds(lambda number=number: pod_ready(f"pod-{number}")) for number in range(STARTS)]  # type: ignore[misc]
    yield _figure("injected_nginx_to_2_of_2", statistics.median(pods), 2.5, "s", runs=[round(each, 2) for each in pods])
    kubectl("delete", "pods", "-l", "app=bench")

    def bookinfo_ready() -> None:
        kubectl("apply", "-f", str(BOOKINFO))
        kubectl("rollout", "status", "deployment", "--timeout=120s")

    yield _figure("bookinfo_to_six_pods_of_2_of_2", _seconds(bookinfo_ready), 8.0, "s")
    kubectl("delete", "-f", str(BOOKINFO))
    for manifest in sorted(MANIFESTS.glob("*.yaml")):
        if manifest.name.startswith(SLIDER_NEEDS):
            kubectl("apply", "-f", str(manifest))
    kubectl("rollout", "status", "deployment", "--timeout=60s")
    at_once = round(memory() / 1e9, 3)
    yield _figure("control_plane_demo_istio_and_two_nginx_pss", _memory_at_rest(memory) / 1e9, 1.1, "GB", at_once=at_once)
    yield _through_the_gateway(kubectl)
    yield _script("slider", *_route(connection))


def _through_the_gateway(kubectl: Callable[..., str]) -> Line:
    """Requests per second from fortio, in a pod without a sidecar, through the gateway, mutual TLS and a sidecar to nginx."""
    kubectl("run", "fortio", "--image=fortio/fortio", "--labels=sidecar.istio.io/inject=false")
    kubectl("wait", "--for=condition=Ready", "pod/fortio", "--timeout=60s")
    found = json.loads(kubectl("exec", "fortio", "--", *LOAD))
    kubectl("delete", "pod", "fortio")
    codes, latency = found["RetCodes"], 1000 * found["DurationHistogram"]["Avg"]
    ok, value = found["ActualQPS"] >= THROUGH_THE_GATEWAY and set(codes) == {"200"}, round(found["ActualQPS"])
    return {
        "benchmark": "through_the_gateway",
        "per_second": value,
        "mean_ms": round(latency, 2),
        "codes": codes,
        "ok": ok,
        "must_reach": THROUGH_THE_GATEWAY,
    }


def _script(name: str, *words: str) -> Line:
    done = subprocess.run([sys.executable, "-m", f"bench.{name}", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: Line = json.loads(done.stdout)
    return found


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _figure(name: str, value: float, at_most: float, unit: str, **more: object) -> Line:
    return {"benchmark": name, "value": round(value, 3), "unit": unit, "at_most": at_most, "ok": value <= at_most, **more}


def _idle(pid: int) -> Line:
    """The processor that a cluster at rest takes, in percent of one core."""
    used = -processor_seconds(pid)
    time.sleep(IDLE_SECONDS)
    used += processor_seconds(pid)
    return _figure("idle_cluster", 100 * used / IDLE_SECONDS, 4.0, "% of a core")


def processor_seconds(pid: int) -> float:
    """Processor time so far of a process and all below it that live."""
    root = psutil.Process(pid)
    return sum(soak.processor_seconds(each) for each in (root, *root.children(recursive=True)))


def _memory_at_rest(memory: Callable[[], int]) -> int:
    """The highest of ten readings, one a second and within 1 % of each other: the memory needed while the learner is reading."""
    readings: deque[int] = deque(maxlen=AT_REST)
    for _ in range(6 * AT_REST):
        readings.append(memory())
        if len(readings) == AT_REST and max(readings) <= 1.01 * min(readings):
            break
        time.sleep(1)
    return max(readings)


def proportional_memory(pid: int) -> int:
    """Bytes of PSS of a process and all below it: shared pages count in proportion (proc_pid_smaps_rollup)."""
    total, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii").splitlines()
            # Each thread has its own children: pilot-agent starts Envoy from any of them.
            for thread in Path(f"/proc/{each}/task").iterdir():
                waiting += [int(word) for word in (thread / "children").read_text(encoding="ascii").split()]
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


if __name__ == "__main__":
    sys.exit(main())
