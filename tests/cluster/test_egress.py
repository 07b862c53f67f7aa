"""Egress: off by default; with `--egress` pods reach what this machine reaches, here a namespace with a web server and a name server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.cluster import dns_relay, egress, manifests
from meshcourse.engine import binaries

OUTSIDE = Path(__file__).with_name("outside_world.py")
ADDRESS = "203.0.113.7"


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01" + bytes(6) + labels + b"\0" + kind.to_bytes(2, "big") + b"\0\x01"


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("kubernetes.default.svc.cluster.local", True),
        ("1.0.96.10.in-addr.arpa", True),
        ("cluster.local", True),
        ("notcluster.local", False),
        ("api.example.com", False),
        ("cluster.local.example.com", False),
        ("", False),
    ],
)
def test_coredns_is_asked_for_names_of_the_cluster_only(name: str, inside: bool) -> None:  # noqa: FBT001
    assert dns_relay.asked(question(name, 1) if name else b"") == (name, 1 if name else 0)
    assert dns_relay.is_of_cluster(name) == inside


def test_an_empty_answer_is_the_question_with_no_error_and_no_record() -> None:
    asked = question("api.example.com", 28)
    answer = dns_relay.empty(asked)
    assert (answer[:2], answer[2] & 0x80, answer[3] & 0x0F, answer[6:8], answer[12:]) == (asked[:2], 0x80, 0, b"\0\0", asked[12:])


def test_kube_dns_leads_to_the_node_and_coredns_keeps_a_service() -> None:
    kube_dns = next(each for each in manifests.read("addons", {}) if (each["kind"], each["metadata"]["name"]) == ("Service", "kube-dns"))
    front, behind, ends = dns_relay.services(kube_dns)
    assert ("selector" in front["spec"], front["spec"]["clusterIP"]) == (False, kube_dns["spec"]["clusterIP"])
    assert behind["spec"]["selector"] == kube_dns["spec"]["selector"]
    assert ends["metadata"]["labels"]["kubernetes.io/service-name"] == front["metadata"]["name"]


def test_nothing_of_the_cluster_is_turned_to_the_way_out() -> None:
    *stay, turn, hook = egress.rules()[1:]
    assert {"10.96.0.0/16", "10.244.0.0/16", "127.0.0.0/8", "172.18.0.0/24"} <= {words[words.index("-d") + 1] for words in stay}
    assert "REDIRECT" in turn
    assert hook[2:4] == ["-A", "PREROUTING"]


@pytest.mark.cluster
def test_without_the_option_there_is_no_way_out(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    cluster.kubectl("-n", namespace, "run", "box", "--image=busybox", "--command", "--", "sleep", "600")
    wait_for(namespace, "pod/box")
    for where in (ADDRESS, "shop.example.com"):
        words = ("kubectl", "-n", namespace, "exec", "box", "--", "timeout", "3", "wget", "-q", "-O", "-", f"http://{where}/")
        assert cluster.run(*words, check=False).returncode


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run a program in the network namespace of the outside world, with a cluster that has egress to it."""
    words = ["unshare", "--net", "--mount", sys.executable, str(OUTSIDE), str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as outside:
        assert outside.stdin is not None
        assert outside.stdout is not None
        assert outside.stdout.readline() == "ready\n"
        path = os.pathsep.join([str(binaries.kubectl().parent), os.environ["PATH"]])
        state = {"MESHCOURSE_STATE": str(tmp_path / "state"), "PATH": path, "KUBECONFIG": str(tmp_path / "state/clusters/out/kubeconfig")}

        def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
            entering = ["nsenter", "-t", str(outside.pid), "--net", "--mount", "--", *command]
            done = subprocess.run(entering, env=os.environ | state, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
            return done

        meshcourse = (sys.executable, "-m", "meshcourse.cli.main")
        try:
            run(*meshcourse, "up", "--name", "out", "--istio", "none", "--ingress-port", "0", "--egress")
            yield run
        finally:
            run(*meshcourse, "down", "--name", "out", check=False)
            outside.stdin.close()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root, for a network namespace that plays the outside")
def test_pods_reach_the_outside_by_name_and_address_and_not_this_machines_loopback(
    world: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    until(lambda: world("kubectl", "get", "serviceaccount", "default", check=False).returncode == 0)
    world("kubectl", "run", "box", "--image=busybox", "--command", "--", "sleep", "600")
    world("kubectl", "wait", "--for=condition=Ready", "pod/box", "--timeout=60s")

    def box(*words: str) -> subprocess.CompletedProcess[str]:
        return world("kubectl", "exec", "box", "--", "timeout", "10", *words, check=False)

    until(lambda: "10.96.0.1" in box("nslookup", "kubernetes.default.svc.cluster.local").stdout)
    assert box("wget", "-q", "-O", "-", "http://shop.example.com/").stdout == "outside, asked for shop.example.com\n"
    assert box("wget", "-q", "-O", "-", f"http://{ADDRESS}/").stdout == f"outside, asked for {ADDRESS}\n"
    assert box("nslookup", "nobody.example.com").returncode
    assert box("wget", "-q", "-O", "-", f"http://{ADDRESS}:81/").returncode, "nobody listens there"
    assert box("wget", "-q", "-O", "-", "http://127.0.0.1:8099/").returncode, "a pod's 127.0.0.1 is its own"
    assert box("wget", "-q", "-O", "-", "http://172.18.0.2:8099/").returncode
    status = world(sys.executable, "-m", "meshcourse.cli.main", "status", "--name", "out")
    assert "TCP and DNS" in status.stdout
