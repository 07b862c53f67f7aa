"""Learners who share one cluster: a port for each, and no learner's objects affect another's."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from real_cluster import FENCE

from meshcourse.backends import learners, records
from meshcourse.backends.existing import Existing
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError
from meshcourse.course import chapters

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
START = 'from meshcourse import lab\nlab.chapter("05-canary")\n'
MORE = f"""{FENCE}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: meshcourse-fence}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: meshcourse-fence}}
subjects: [{{kind: ServiceAccount, name: bob, namespace: meshcourse-learners}}]
"""


def taken(learner: str, port: int) -> dict[str, Any]:
    return {"metadata": {"name": f"{learner}-x", "labels": {settings.LEARNER_LABEL: learner, settings.PORT_LABEL: str(port)}}}


def test_each_of_thirty_learners_gets_a_port_that_nobody_has() -> None:
    there: list[dict[str, Any]] = []
    for name in (f"learner-{number}" for number in range(30)):
        there.append(taken(name, learners.choose(name, there)))
    ports = {each["metadata"]["labels"][settings.PORT_LABEL] for each in there}
    assert len(ports) == 30
    assert all(int(port) in learners.PORTS for port in ports)


def test_port_is_the_same_the_next_time_and_another_when_it_is_taken() -> None:
    port = learners.choose("ada", [])
    assert learners.choose("ada", [{"metadata": {"name": "kube-system"}}]) == port
    assert learners.choose("ada", [taken("bob", port)]) != port


def test_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ClusterError, match='"ada" in this cluster already') as refused:
        learners.choose("ada", [taken("ada", 20000)])
    assert "kubectl delete namespaces -l meshcourse.dev/learner=ada" in refused.value.next


def test_a_kubernetes_without_the_policies_is_refused_in_plain_words() -> None:
    learners.check_cluster(["validatingadmissionpolicies", "mutatingadmissionpolicies"], "v1.36.3")
    with pytest.raises(ClusterError, match=r"needs Kubernetes 1\.36") as refused:
        learners.check_cluster(["validatingadmissionpolicies", "validatingwebhookconfigurations"], "v1.34.2")
    assert "v1.34.2" in refused.value.why
    assert "without --learner" in refused.value.next


@pytest.mark.parametrize("name", ["Ada", "ada_l", "-ada", "ada-", "4da", "a" * 31])
def test_name_that_no_namespace_could_begin_with_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="cannot be a learner's name"):
        learners.check_name(name)


def test_every_namespace_of_a_chapter_that_learners_share_begins_with_the_name() -> None:
    for chapter in (each for each in chapters.CHAPTERS.values() if not each.alone):
        assert chapter.belonging_to("ada").namespace == f"ada-{chapter.namespace}"
        assert chapter.belonging_to("") is chapter
        assert chapter.more_namespaces == ()


def test_command_line_refuses_what_learners_cannot_share(meshcourse: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    alone = meshcourse("up", "--learner", "ada")
    assert "is for a cluster that several share" in alone.stderr
    installing = meshcourse("up", "--backend", "existing", "--learner", "ada", "--istio", "demo")
    assert "does not install Istio" in installing.stderr
    assert (alone.returncode, installing.returncode) == (1, 1)


# -- on the cluster ------------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Desk:
    """One learner's notebooks."""

    backend: Existing

    @property
    def name(self) -> str:
        return self.backend.learner

    def cells(self, script: str, *, ok: bool = True) -> str:
        """The output of cells after the first one, in a kernel of their own."""
        environment = {**os.environ, **self.backend.environment()}
        words = [sys.executable, "-c", script]
        done = subprocess.run(words, cwd=NOTEBOOKS, env=environment, capture_output=True, text=True, timeout=180, check=False)
        if ok and done.returncode:
            pytest.fail(f"{self.name}: {done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    @property
    def port(self) -> int:
        record = records.find(self.backend.name)
        assert record is not None
        return record.gateway_port


@pytest.fixture(scope="module")
def desks(cluster: Any, learner: Callable[..., Path]) -> Iterator[tuple[Desk, Desk]]:
    """Ada has the rights that lessons need, bob those for all of tenancy.yaml; both have only a kubeconfig."""
    made = tuple(Desk(Existing(name, str(learner(name)), learner=name)) for name in ("ada", "bob"))
    cluster.apply("default", MORE)
    for desk in made:
        desk.backend.up(lambda _: None)
    yield made[0], made[1]
    for desk in made:
        desk.backend.down()
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", "meshcourse-fence")


@pytest.fixture
def policies(cluster: Any) -> Iterator[None]:
    """As an administrator applies them. The API server enforces them a moment later."""
    cluster.kubectl("apply", "-f", str(learners.FILE))
    cluster.kubectl("create", "namespace", "watched")
    cluster.kubectl("label", "namespace", "watched", f"{settings.PORT_LABEL}=20000")
    ends = time.monotonic() + 60
    trial = ["-n", "watched", "create", "service", "clusterip", "trial", "--tcp=80", "--dry-run=server", "-o", "yaml"]
    while "exportTo" not in cluster.kubectl(*trial):
        assert time.monotonic() < ends
    yield
    cluster.kubectl("delete", "namespace", "watched", "--wait=false")
    cluster.kubectl("delete", "-f", str(learners.FILE))


APPLY = 'lab.sh("kubectl apply ' + " ".join(f"-f manifests/05_canary/{name}" for name in ("01-web.yaml", "02-service.yaml")) + '")\n'
RULES = """lab.sh("kubectl apply -f manifests/05_canary/05-destinationrule.yaml -f manifests/05_canary/03-gateway.yaml")
lab.apply("manifests/05_canary/{rule}")
lab.wait("web-v1", "web-v2")
"""
TRAFFIC = 'print("SHARE", lab.traffic(200).share("v2"), lab.traffic(50, host="shop.example.com").share("v2"))\n'
ADAS_SHOP = """lab.apply('''
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [web]
  http: [{route: [{destination: {host: web, subset: v1}}]}]
''')
"""


def share(printed: str) -> list[float]:
    """The shares of v2: of the requests to the gateway's own address, and of those to shop.example.com."""
    return [float(word) for word in printed.partition("SHARE ")[2].split("\n")[0].split()]


@pytest.mark.cluster
def test_chapter_does_not_begin_where_nothing_keeps_learners_apart(desks: tuple[Desk, Desk]) -> None:
    said = desks[0].cells(START, ok=False)
    assert "Nothing keeps learners apart" in said
    assert f"kubectl apply -f {learners.FILE}" in said


@pytest.mark.cluster
def test_chapter_for_a_whole_cluster_says_so_and_what_to_type(desks: tuple[Desk, Desk]) -> None:
    said = desks[0].cells('from meshcourse import lab\nlab.chapter("02-install-uninstall")', ok=False)
    assert "Chapter 2 is not for a shared cluster" in said
    assert "meshcourse up --name own" in said


@pytest.mark.cluster
def test_namespace_that_is_not_the_learners_is_left_alone(desks: tuple[Desk, Desk], cluster: Any) -> None:
    cluster.kubectl("create", "namespace", "ada-breaking")
    said = desks[0].cells('from meshcourse import lab\nlab.chapter("06-circuit-breaking")', ok=False)
    assert "Namespace ada-breaking was not made for you" in said
    assert set(cluster.get("namespace", "ada-breaking")["metadata"]["labels"]) == {"kubernetes.io/metadata.name"}
    cluster.kubectl("delete", "namespace", "ada-breaking", "--wait=false")


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.usefixtures("policies")
def test_two_learners_do_one_chapter_at_once_and_one_leaves(desks: tuple[Desk, Desk], cluster: Any) -> None:
    ada, bob = desks
    with ThreadPoolExecutor(2) as both:  # ada sends all to v2, her shop to v1; bob sends all to v1, and has no shop
        hers = both.submit(ada.cells, START + APPLY + RULES.format(rule="07-virtualservice-0-100.yaml") + ADAS_SHOP + TRAFFIC)
        his = both.submit(bob.cells, START + APPLY + RULES.format(rule="08-virtualservice-header.yaml") + TRAFFIC)
    assert share(hers.result()) == [1.0, 0.0]
    assert share(his.result()) == [0.0, 0.0]

    assert ada.port != bob.port
    for desk in desks:
        space = f"{desk.name}-canary"
        (server,) = cluster.get("-n", space, "gateway", "web")["spec"]["servers"]
        assert server["port"]["number"] == desk.port
        for kind in ("virtualservice", "destinationrule"):
            assert cluster.get("-n", space, kind, "web")["spec"]["exportTo"] == [".", "istio-system"]
        assert cluster.get("-n", space, "service", "web")["metadata"]["annotations"]["networking.istio.io/exportTo"] == ".,istio-system"
        held = cluster.run("istioctl", "proxy-config", "clusters", f"deploy/web-v1.{space}").stdout
        assert [name for name in ("ada-canary", "bob-canary") if name in held] == [space]

    assert "ResourceQuota meshcourse in ada-canary: forbidden, so nothing limits how much it may run" in hers.result()
    assert "forbidden" not in his.result()
    assert cluster.get("-n", "bob-canary", "resourcequota", "meshcourse")["status"]["used"]["pods"] == "2"
    assert cluster.get("-n", "bob-canary", "networkpolicy", "meshcourse")["spec"]["policyTypes"] == ["Ingress"]

    theirs = cluster.kubectl("get", "namespaces", "-l", f"{settings.LEARNER_LABEL}=ada", "-o", "name").split()
    assert ada.backend.down()
    assert theirs == ["namespace/ada-canary"]
    assert cluster.kubectl("get", "namespaces", "-l", f"{settings.LEARNER_LABEL}=ada", "-o", "name") == ""
    assert share(bob.cells(START + TRAFFIC)) == [0.0, 0.0]
