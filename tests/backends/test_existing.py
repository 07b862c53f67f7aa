"""An existing cluster: asked before it is changed, checked by its own API server, restored afterwards."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcourse.backends import forwarding, records
from meshcourse.backends.existing import Existing, extract
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import namespaces

pytestmark = pytest.mark.cluster
Run = Callable[..., subprocess.CompletedProcess[str]]
LIMIT = 60


def silent(_: str) -> None:
    pass


@pytest.fixture
def existing(learner: Callable[..., Path]) -> Iterator[Existing]:
    cluster = Existing("theirs", str(learner("ann")))
    yield cluster
    cluster.down()


def test_missing_rights_are_named_one_by_one(learner: Callable[..., Path]) -> None:
    with pytest.raises(ClusterError, match="is not allowed") as refused:
        Existing("barred", str(learner("eve", allowed=False))).up(silent)
    assert "get, create: pods/exec" in refused.value.why
    assert "create: serviceaccounts/token in namespace istio-system" in refused.value.why
    assert records.find("barred") is None


def test_installing_istio_takes_more_rights_than_lessons(learner: Callable[..., Path]) -> None:
    with pytest.raises(ClusterError) as refused:
        Existing("installing", str(learner("ann")), installs=True).up(silent)
    assert refused.value.why.splitlines()[1:] == ["  *: *.*"]


def test_nothing_is_touched_without_a_yes(meshcourse: Run, learner: Callable[..., Path]) -> None:
    done = meshcourse("up", "--name", "asked", "--backend", "existing", "--kubeconfig", str(learner("ann")))
    assert done.returncode == 1
    assert "is not the course's own" in done.stdout
    assert "Nothing has been touched" in done.stderr


def test_unknown_context_is_told_those_that_there_are(cluster: Any) -> None:
    with pytest.raises(ClusterError, match="'nowhere'") as refused:
        extract(str(cluster.kubeconfig), "nowhere")
    assert cluster.name in refused.value.why


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="There is no kubeconfig"):
        Existing("nofile", str(tmp_path / "none")).up(silent)


def test_the_given_kubeconfig_is_left_alone_and_a_name_keeps_its_cluster(existing: Existing, cluster: Any) -> None:
    before = Path(existing.source).read_bytes()
    existing.up(silent)
    assert Path(existing.source).read_bytes() == before
    with pytest.raises(ClusterError, match="is the cluster of"):
        Existing(existing.name, str(cluster.kubeconfig)).up(silent)


def test_down_takes_away_what_lessons_made_and_nothing_else(existing: Existing, cluster: Any, namespace: str) -> None:
    existing.up(silent)
    lesson, ours = f"{namespace}-lesson", f"{namespace}-ours"
    connection = Connection(existing.kubeconfig(), existing.ingress_url(), existing.environment())
    namespaces.enable(connection, lesson, by="05-canary")
    namespaces.enable(connection, namespace, by="05-canary")
    namespaces.enable(Connection(cluster.kubeconfig, cluster.ingress_url, {**cluster.environment}), ours, by="05-canary")
    assert cluster.get("namespace", lesson)["metadata"]["labels"][settings.OWNER_LABEL] == records.every()[0].owner
    home = existing.kubeconfig().parent
    assert existing.down()
    assert cluster.kubectl("get", "namespace", lesson, "--ignore-not-found") == ""
    assert set(cluster.get("namespace", namespace)["metadata"]["labels"]) == {"kubernetes.io/metadata.name"}
    assert cluster.get("namespace", ours)["metadata"]["labels"]["istio-injection"] == "enabled"
    assert "istiod" in cluster.kubectl("-n", "istio-system", "get", "pods")
    assert {path.name for path in home.glob("*")} <= {"logs"}
    cluster.kubectl("delete", "namespace", ours, "--wait=false")


def answer(url: str, path: str = "/") -> int:
    """The gateway's status code, waited for: the port-forward restarts after a refused connection."""
    ends = time.monotonic() + LIMIT
    while True:
        try:
            with urllib.request.urlopen(url + path, timeout=10) as reply:  # noqa: S310 - our own gateway
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


GATEWAY = """apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: forwarded}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [forwarded.example.com]}]
"""


def test_the_load_balancers_address_is_taken_where_it_answers(existing: Existing, cluster: Any) -> None:
    existing.up(silent)
    entry = cluster.get("-n", "istio-system", "service", "istio-ingressgateway")["status"]["loadBalancer"]["ingress"][0]
    assert existing.ingress_url() == f"http://{entry['ip']}"


def test_forwarded_port_leads_to_the_gateway_survives_refusals_and_ends_by_down(existing: Existing, cluster: Any, namespace: str) -> None:
    existing = dataclasses.replace(existing, way="port-forward")
    existing.up(silent)
    url, home = existing.ingress_url(), existing.kubeconfig().parent
    cluster.apply(namespace, GATEWAY)
    assert answer(url) == 404
    pid = int((home / "forward.pid").read_text())
    os.killpg(pid, signal.SIGKILL)
    ends = time.monotonic() + LIMIT
    while forwarding.runs(home):
        assert time.monotonic() < ends
    assert existing.status().components[0].state == "stopped"
    assert existing.ingress_url() == url
    assert answer(url) == 404
    existing.down()
    assert not forwarding.runs(home)
    assert [path.name for path in home.iterdir()] == ["logs"]
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(url, timeout=5)  # noqa: S310 - our own gateway
