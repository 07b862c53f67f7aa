"""Tasks of istio.io on the real cluster, and the table of which pass: `make istio-tasks`. Not part of `make test`.

Istio's samples are those of its Go module, in the module cache; nothing of them is copied. A test names its task by the marker `task`:
title, path below https://istio.io/latest/docs/, and what is different here, if anything is.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import terminal
from real_cluster import RealCluster
from terminal import Terminal

from meshcourse.cluster import clusters
from meshcourse.engine import binaries, toolchain
from meshcourse.engine.go_programs import GoProgram

HELM = GoProgram("helm", "helm.sh/helm/v3/cmd/helm", "v3.22.0", "https://helm.sh/docs/intro/install/")
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.0"
SITE = "https://istio.io/latest/docs/"
HEAD = """# Istio's own tasks on the embedded cluster

Made by `make istio-tasks`, which types each task as its page has it, with Istio's own samples, and compares what comes out with what
the page documents. Envoy is the upstream build, images are those of `meshcourse images`; what differs from the page stands in the last column.

| task | result | what is different here |
|---|---|---|
"""
OUTSIDE = (
    (
        "Ambient mode",
        "ambient/",
        "not here",
        "ztunnel and Istio's CNI are privileged and enter the namespaces of other pods: a kind cluster runs them",
    ),
    (
        "Accessing external services",
        "tasks/traffic-management/egress/egress-control/",
        "not tried",
        "needs hosts of the Internet: `meshcourse up --egress` lets pods call them",
    ),
    (
        "Collecting metrics; querying, Grafana, Kiali",
        "tasks/observability/metrics/",
        "not here",
        "Istio's metrics need its own Envoy: `meshcourse up --images istio`, or kind. A Telemetry that asks for them is refused with this reason",
    ),
    (
        "Customizing Istio's metrics by Telemetry",
        "tasks/observability/metrics/telemetry-api/",
        "not here",
        "as above",
    ),
    ("Wasm plugins", "tasks/extensibility/wasm-module-distribution/", "not tried", "the module is fetched from a registry on the Internet"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", type=Path, help="the table of tasks: those that ran get their row anew")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "task(title, path, different): a task of istio.io")
    config.stash[RESULTS] = {}


RESULTS = pytest.StashKey[dict[tuple[str, str, str], dict[str, bool]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    report = yield
    marker = item.get_closest_marker("task")
    if marker and (report.when == "call" or report.failed):
        title, path, *rest = marker.args
        task = item.config.stash[RESULTS].setdefault((title, path, rest[0] if rest else ""), {})
        task[item.nodeid] = report.passed  # the last try counts
    return report  # type: ignore[no-any-return]  # pluggy's hook results are untyped


def pytest_sessionfinish(session: pytest.Session) -> None:
    if table := session.config.getoption("--table"):
        before = table.read_text(encoding="utf-8") if table.exists() else ""
        table.write_text(HEAD + "".join(rows(session.config.stash[RESULTS], before)), encoding="utf-8")


def rows(results: dict[tuple[str, str, str], dict[str, bool]], before: str) -> Iterator[str]:
    """A row for each task: of this run, else as the table had it before; a task passes when all of its tests did."""
    now = {
        title: f"| [{title}]({SITE}{path}) | {'passes' if all(passed.values()) else '**fails**'} | {different} |\n"
        for (title, path, different), passed in results.items()
    }
    for title, path, result, different in OUTSIDE:
        now[title] = f"| [{title}]({SITE}{path}) | {result} | {different} |\n"
    known = {line[3 : line.index("](")]: line for line in before.splitlines(keepends=True) if line.startswith("| [")}
    yield from dict(sorted((known | now).items(), key=lambda row: row[1].partition("](")[2])).values()


def module(name: str) -> Path:
    """The folder of a Go module in the module cache, downloaded by the go command when it is not there."""
    words = [str(toolchain.find().go), "mod", "download", "-json", name]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    return Path(json.loads(done.stdout)["Dir"])


@pytest.fixture(scope="session")
def istio() -> Path:
    """Istio's folder, at the version of the engine."""
    return module(f"istio.io/istio@{binaries.versions()['istio.io/istio']}")


@pytest.fixture(scope="session")
def opened(cluster: Any, istio: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Terminal]:
    """Open a terminal whose current namespace is the one named."""
    keep = tmp_path_factory.mktemp("terminals")
    address = cluster.get("-n", "istio-system", "service", "istio-ingressgateway")["status"]["loadBalancer"]["ingress"][0]["ip"]
    gateway = {"INGRESS_HOST": address, "INGRESS_PORT": "80", "SECURE_INGRESS_PORT": "443", "GATEWAY_URL": f"{address}:80"}
    return lambda namespace: terminal.current(namespace, cluster.kubeconfig, istio, {**cluster.environment, **gateway}, keep)


@pytest.fixture
def bare(istio: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal on a cluster of its own without Istio, with helm on PATH."""
    started = clusters.up(f"bare-{os.getpid()}", ingress_port=0)
    environment = RealCluster.of(started).environment
    path = os.pathsep.join([str(HELM.ensure().parent), environment["PATH"]])
    yield terminal.current("default", started.kubeconfig, istio, {**environment, "PATH": path}, tmp_path)
    clusters.down(started.name)


@pytest.fixture
def shell(cluster: Any, opened: Callable[[str], Terminal]) -> Iterator[Terminal]:
    """A terminal in a namespace of its own with sidecars."""
    name = f"task-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    yield opened(name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def _bookinfo(cluster: Any, opened: Callable[[str], Terminal]) -> Iterator[Terminal]:
    cluster.kubectl("create", "namespace", "bookinfo")
    cluster.kubectl("label", "namespace", "bookinfo", "istio-injection=enabled")
    shop = opened("bookinfo")
    shop.type("kubectl apply -f samples/bookinfo/platform/kube/bookinfo.yaml -f samples/bookinfo/networking/bookinfo-gateway.yaml")
    shop.type("kubectl apply -f samples/bookinfo/networking/destination-rule-all.yaml")
    shop.ready()
    yield shop
    cluster.kubectl("delete", "namespace", "bookinfo", "--wait=false")


@pytest.fixture
def bookinfo(_bookinfo: Terminal) -> Iterator[Terminal]:
    """The bookstore with its gateway and subsets, in its own namespace; objects that a task adds are deleted."""
    yield _bookinfo
    _bookinfo.type("kubectl get virtualservice -o name | grep -v /bookinfo$ | xargs -r kubectl delete", check=False)
    _bookinfo.type("kubectl delete authorizationpolicy,peerauthentication,requestauthentication,telemetry,envoyfilter --all", check=False)


@pytest.fixture(scope="session")
def gateway_api() -> Path:
    """The folder of the Gateway API's definitions."""
    return module(GATEWAY_API) / "config/crd/standard"
