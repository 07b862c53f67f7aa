"""lab's calls in a kernel of their own, on the real cluster: what they leave behind and how failures read.

Each script runs in a process of its own, because lab.chapter sets that process's environment, as it should in a kernel.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from meshcourse.lab import start

pytestmark = pytest.mark.cluster

CHECKOUT = Path(__file__).parents[2]
START = 'from meshcourse import lab\nlab.chapter("05-canary")\n'
Kernel = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def kernel(cluster: Any) -> Iterator[Kernel]:
    """Run a script as a notebook's cells would run, from the checkout's notebooks folder, in the namespace of the test before."""

    def run(script: str, *, ok: bool = True) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", START + script]
        done = subprocess.run(
            words, cwd=CHECKOUT / "notebooks", env=dict(cluster.environment), capture_output=True, text=True, timeout=120, check=False
        )
        if ok and done.returncode:
            pytest.fail(f"{done.stdout}\n{done.stderr}")
        return done

    yield run
    cluster.kubectl("delete", "namespace", "canary", "--ignore-not-found", "--wait=false")


@pytest.fixture
def new_kernel(cluster: Any, kernel: Kernel) -> Kernel:
    """The same without a namespace. Deleting one takes Kubernetes five seconds, so that only tests that need it ask for it."""
    cluster.kubectl("delete", "namespace", "canary", "--ignore-not-found", timeout=120)
    return kernel


def test_chapter_says_what_it_did_and_the_second_time_finds_it(cluster: Any, new_kernel: Kernel) -> None:
    first, second = new_kernel("").stdout, new_kernel("").stdout
    assert "namespace canary: made" in first
    assert "namespace canary: found, with injection on" in second
    for text in (first, second):
        assert "Istio 1.31" in text
        assert cluster.ingress_url in text


def test_another_kernel_cleans_up_and_cleaning_twice_is_no_error(cluster: Any, kernel: Kernel) -> None:
    kernel('lab.sh("kubectl apply -f manifests/05_canary/02-service.yaml")')
    assert "namespace canary is gone" in kernel("lab.clean_up()\nlab.clean_up()").stdout
    assert cluster.kubectl("get", "namespace", "canary", "--ignore-not-found") == ""
    assert "istiod" in cluster.kubectl("-n", "istio-system", "get", "pods")


def test_namespace_that_was_there_stays_with_what_is_not_the_chapters(cluster: Any, new_kernel: Kernel) -> None:
    cluster.kubectl("create", "namespace", "canary")
    cluster.kubectl("-n", "canary", "create", "configmap", "own")
    script = 'lab.sh("kubectl apply -f manifests/05_canary/02-service.yaml -f manifests/05_canary/05-destinationrule.yaml")\nlab.clean_up()'
    assert "gone from namespace canary" in new_kernel(script).stdout
    assert cluster.kubectl("-n", "canary", "get", "configmap", "own", "-o", "name").strip() == "configmap/own"
    assert cluster.kubectl("-n", "canary", "get", "services,destinationrules", "-o", "name") == ""
    assert "istio-injection" not in cluster.get("namespace", "canary")["metadata"]["labels"]


def test_unfinished_chapter_is_not_cleaned_up(cluster: Any, new_kernel: Kernel) -> None:
    assert "done=True" in new_kernel("lab.clean_up(done=False)").stdout
    assert cluster.kubectl("get", "namespace", "canary", "-o", "name").strip() == "namespace/canary"


def test_commands_need_no_namespace_and_the_cluster_s_own_kubeconfig_is_left_alone(cluster: Any, kernel: Kernel) -> None:
    before = cluster.kubeconfig.read_text()
    assert "canary" in kernel('lab.sh("kubectl config view --minify -o jsonpath={..namespace}")').stdout
    assert cluster.kubeconfig.read_text() == before


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('lab.sh("kubectl get nonsense")', ["nonsense", "exit code 1", "Next:"]),
        ('lab.apply("""\na: b: c\n""")', ["not valid YAML", "line 2", "Next:"]),
        (
            'lab.apply("""\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: ["*"]}\n""")',
            ["Istio refused", "Why:", "Next:"],
        ),
        ('lab.check("7.7")', ["no exercise", "5.1", "Next:"]),
        ('lab.weight_panel("absent").display()', ["absent", "Next:"]),
    ],
    ids=["command", "yaml", "webhook", "exercise", "panel"],
)
def test_failure_says_what_why_and_what_to_type_next(kernel: Kernel, script: str, words: list[str]) -> None:
    done = kernel(script, ok=False)
    assert done.returncode != 0
    for word in words:
        assert word in done.stdout + done.stderr


def test_call_before_the_first_cell_says_so(cluster: Any) -> None:
    words = [sys.executable, "-c", "from meshcourse import lab\nlab.request()"]
    done = subprocess.run(words, cwd=CHECKOUT, env=dict(cluster.environment), capture_output=True, text=True, timeout=60, check=False)
    assert "No chapter has been started" in done.stderr
    assert 'lab.chapter("05-canary")' in done.stderr


def test_nearly_full_machine_is_said_with_what_makes_room(cluster: Any) -> None:
    assert start.crowded(cluster.connection, None) == ()
    assert start.crowded(cluster.connection, 8192) == ()
    first, *rest = start.crowded(cluster.connection, 35)
    assert "this machine has room for 5 (fs.inotify.max_user_instances is 35)" in first
    assert any("meshcourse down && meshcourse up" in line for line in rest)
    assert rest[-1].endswith("sudo sysctl -w fs.inotify.max_user_instances=1024")


@pytest.mark.parametrize(
    ("container", "younger", "outlived"), [("istio-proxy", -60, True), ("istio-proxy", 1, False), ("nginx", -60, False)]
)
def test_sidecar_from_before_istio_system_is_known_by_its_age(cluster: Any, container: str, younger: int, *, outlived: bool) -> None:
    home = cluster.connection.core().read_namespace("istio-system")
    made = home.metadata.creation_timestamp + dt.timedelta(seconds=younger)
    spec = client.V1PodSpec(containers=[client.V1Container(name=container)])
    pod = client.V1Pod(metadata=client.V1ObjectMeta(creation_timestamp=made), spec=spec)
    assert start.outlived(pod, home) is outlived


def test_half_an_installation_is_finished_by_the_first_cell(cluster: Any, kernel: Kernel) -> None:
    """The state after an `istioctl install` that was interrupted between two objects."""
    kernel("")
    for gone in ("serviceaccount/istio-ingressgateway-service-account", "rolebinding/istiod"):
        cluster.kubectl("-n", "istio-system", "delete", gone)
    cluster.kubectl("delete", "mutatingwebhookconfiguration", "istio-revision-tag-default")
    said = kernel("").stdout
    assert "an earlier installation was interrupted" in said
    assert "$ istioctl install --set profile=demo -y" in said
    assert "interrupted" not in kernel("").stdout
    assert cluster.kubectl("get", "mutatingwebhookconfiguration", "istio-revision-tag-default", "-o", "name")


def test_chapter_whose_gateway_another_took_away_names_the_way_back(cluster: Any, kernel: Kernel) -> None:
    kernel('lab.apply("manifests/05_canary/03-gateway.yaml")')
    try:
        assert "deleted Gateway canary/web" in kernel('lab.chapter("04-bookinfo")').stdout
        said = kernel("").stdout
        assert "! chapter 4 deleted this chapter's Gateway web" in said
        assert "kubectl apply -f manifests/05_canary/03-gateway.yaml" in said
        kernel('lab.sh("kubectl apply -f manifests/05_canary/03-gateway.yaml")')
        assert "deleted this chapter's" not in kernel("").stdout
    finally:
        cluster.kubectl("delete", "namespace", "bookinfo", "--ignore-not-found", timeout=120)
