"""A panel's wishes to the mesh: accepted, refused, changed by kubectl; and all five panels that change an object, with a real refusal."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.core import background
from meshcourse.core.errors import KubernetesError, MeshError
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.widgets.panels.breaker import BreakerPanel
from meshcourse.widgets.panels.faults import FaultPanel
from meshcourse.widgets.panels.retries import RetryPanel
from meshcourse.widgets.panels.setting import Setting
from meshcourse.widgets.panels.timeout import Limit, TimeoutPanel
from meshcourse.widgets.panels.weights import WeightPanel

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests"


class Held:
    """One number in place of an object in the API server; `refusal` is the error of a write or a read."""

    def __init__(self) -> None:
        self.number = 5
        self.refusal: Exception | None = None
        self.shown: list[int] = []
        self.said: list[str] = []
        self.reading = threading.Event()
        self.reading.set()
        self.setting = Setting(read=self.read, write=self.write, show=self.shown.append, complain=self.complain)
        self.setting.load()

    def read(self) -> int:
        found = self.number
        self.reading.wait(5)
        return found

    def write(self, _: int, wanted: int) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.number = wanted
        return wanted

    def complain(self, error: Exception | None, *, of: str = "") -> None:
        assert of == "setting"
        self.said.append("" if error is None else str(error).splitlines()[0])

    def follow(self) -> None:
        background.run(self.setting.follow(), timeout=5)

    def set(self, wanted: int) -> int:
        return background.run(self.setting.set(wanted), timeout=5)


def test_a_refused_wish_is_shown_and_raised_and_what_is_held_is_shown_again() -> None:
    held = Held()
    held.refusal = MeshError("No.")
    with pytest.raises(MeshError):
        held.set(7)
    assert (held.shown, held.said, held.setting.held) == ([5], ["No."], 5)


def test_a_refusal_stays_while_the_object_is_looked_at_and_goes_with_the_next_wish() -> None:
    held = Held()
    held.refusal = MeshError("No.")
    with pytest.raises(MeshError):
        held.set(7)
    held.follow()
    assert held.said == ["No."]
    held.refusal = None
    assert held.set(8) == 8
    assert held.said == ["No.", ""]


def test_that_an_object_is_not_there_is_no_news_any_more_once_it_is_back() -> None:
    held = Held()
    held.refusal = KubernetesError("There is none.", status={"code": 404})
    with pytest.raises(KubernetesError):
        held.set(7)
    held.follow()
    assert held.said == ["There is none.", ""]


def test_what_was_read_before_a_write_does_not_take_it_back() -> None:
    held = Held()
    held.reading.clear()
    following = background.submit(held.setting.follow())
    assert held.set(9) == 9
    held.reading.set()
    following.result(5)
    assert held.shown == [9]
    assert held.setting.held == 9


def test_a_change_by_others_is_shown_once() -> None:
    held = Held()
    held.number = 6
    held.follow()
    held.follow()
    assert held.shown == [6]


def test_the_newest_wish_is_what_the_next_move_starts_from() -> None:
    held = Held()
    assert held.setting.wish == 5
    held.setting.offer(8)
    assert held.setting.wish == 8


def weight(connection: Connection, namespace: str) -> WeightPanel:
    return WeightPanel(connection, namespace=namespace, virtual_service="web", route="split")


def retries(connection: Connection, namespace: str) -> RetryPanel:
    return RetryPanel(connection, namespace=namespace)


def fault(connection: Connection, namespace: str) -> FaultPanel:
    return FaultPanel(connection, namespace=namespace, virtual_service="back", host="store.example.com")


def breaker(connection: Connection, namespace: str) -> BreakerPanel:
    return BreakerPanel(
        connection,
        namespace=namespace,
        rule="httpbin",
        cluster="outbound|8000||httpbin",
        caller="fortio-deploy",
        url=f"{connection.ingress_url}/",
        host="breaker.example.com",
        failing="httpbin-faulty",
    )


def timeout(connection: Connection, namespace: str) -> TimeoutPanel:
    url = f"{connection.ingress_url}/slow?seconds={{seconds}}"
    return TimeoutPanel(connection, namespace=namespace, url=url, host="slow.example.com", places=(), limits=(Limit("web", "waits, s"),))


READER = """apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [networking.istio.io], resources: ["*"], verbs: [get, list]}
- {apiGroups: [apps], resources: ["*"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: ServiceAccount, name: onlooker, namespace: meshcourse-learners}
"""
OBJECTS = (
    "05_canary/04-virtualservice-90-10.yaml",
    "06_circuit_breaking/06-ejection.yaml",
    "08_faults_retries/10-retries-everywhere.yaml",
)


@pytest.fixture(scope="module")
def onlooker(cluster: Any, learner: Callable[..., Path]) -> Iterator[tuple[Connection, str]]:
    """The objects of all five panels, and a connection with the right to read them only."""
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", namespace)
    for file in OBJECTS:
        resources.apply(cluster.connection, MANIFESTS / file, namespace=namespace)
    kubeconfig = learner("onlooker", allowed=False)
    cluster.apply(namespace, READER)
    yield Connection(kubeconfig, cluster.ingress_url), namespace
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("make", "find", "wish"),
    [
        (weight, lambda panel: panel.widgets.sliders["v2"], 60),
        (retries, lambda panel: panel.fault, 80),
        (fault, lambda panel: panel.abort, 80),
        (breaker, lambda panel: panel.widgets.sliders["connections"], 7),
        (timeout, lambda panel: panel.widgets.timeouts[0], 2.5),
    ],
)
def test_a_refused_write_is_shown_and_the_sliders_go_back(
    onlooker: tuple[Connection, str], make: Callable[[Connection, str], Any], find: Callable[[Any], Any], wish: float
) -> None:
    with make(*onlooker) as panel:
        slider = find(panel)
        before = slider.value
        slider.value = wish
        until(lambda: "forbidden" in panel.widgets.error.value)
        until(lambda: slider.value == before)
        assert 'role="alert"' in panel.widgets.error.value
