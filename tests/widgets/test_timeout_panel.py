"""The timeout panel on a real mesh: nginx in front of tomcat as in the chapter, and a request through three pods."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.core.errors import KubernetesError, PanelError
from meshcourse.kube import resources
from meshcourse.measure.request_hops import Place
from meshcourse.mesh import propagation
from meshcourse.mesh.rules import timeouts
from meshcourse.widgets.panels.timeout import Limit, TimeoutPanel

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "07_timeouts"
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def slow_namespace(cluster: Any) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    for file in ("01-nginx-tomcat", "02-services", "03-virtualservice-timeout", "04-door"):
        resources.apply(cluster.connection, MANIFESTS / f"{file}.yaml", namespace=name)
    resources.wait_for_rollout(cluster.connection, name, ["nginx", "tomcat"])
    into = ["-n", name, "exec", "-i", "deploy/nginx", "-c", "nginx", "--"]
    cluster.kubectl(*into, "tee", "/etc/nginx/conf.d/default.conf", stdin=(MANIFESTS / "nginx.conf").read_text())
    cluster.kubectl(*into, "nginx", "-s", "reload")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def panel(cluster: Any, slow_namespace: str) -> Iterator[TimeoutPanel]:
    with made(cluster, slow_namespace) as opened:
        opened.set_timeout("slow", 0.0)
        opened.set_timeout("tomcat", 1.0)
        assert not propagation.wait(cluster.connection, slow_namespace).missing
        yield opened


def made(cluster: Any, namespace: str, inner: str = "tomcat") -> TimeoutPanel:
    return TimeoutPanel(
        cluster.connection,
        namespace=namespace,
        url=f"{cluster.connection.ingress_url}/slow?seconds={{seconds}}",
        host="slow.example.com",
        places=(
            Place("gateway", "istio-system", "istio-ingressgateway"),
            Place("nginx in", namespace, "nginx", inward=True),
            Place("nginx to tomcat", namespace, "nginx"),
            Place("tomcat in", namespace, "tomcat", inward=True),
        ),
        limits=(Limit("slow", "outer"), Limit(inner, "inner")),
        delay=0.2,
    )


def test_a_request_is_followed_through_every_hop_and_whoever_gives_up_is_named(
    panel: TimeoutPanel, cluster: Any, slow_namespace: str
) -> None:
    quick = panel.wait_journey(panel.send().number)
    assert (quick.status, quick.quitter) == (200, None)
    assert [hop.place.name for hop in quick.hops] == ["gateway", "nginx in", "nginx to tomcat", "tomcat in"]
    panel.set_delay(3.0)
    cut = panel.wait_journey(panel.send().number)
    assert cut.status == 504
    assert cut.quitter is not None
    assert cut.quitter.place.name == "nginx to tomcat"
    assert 0.9 <= cut.quitter.seconds < 2.0, "after the timeout, not after the delay"
    assert cut.hops[-1].flags == ("DC",)
    panel.set_timeout("slow", 0.4)
    assert not propagation.wait(cluster.connection, slow_namespace).missing
    outer = panel.wait_journey(panel.send().number)
    assert outer.quitter is not None
    assert outer.quitter.place.name == "gateway"
    until(lambda: "gateway gave up (UT)" in panel.widgets.words.value)
    until(lambda: len(panel.widgets.figure.data[0].x) == 5)
    assert "Request 3: 504" in panel.widgets.alt.value


def test_sliders_and_buttons_do_the_same(panel: TimeoutPanel, cluster: Any, slow_namespace: str) -> None:
    panel.widgets.timeouts[1].value = 0.7
    until(lambda: timeouts.read(cluster.connection, slow_namespace, "tomcat") == 0.7)
    panel.widgets.send.click()
    until(lambda: len(panel.snapshot().journeys) == 1)
    panel.widgets.repeat.value = True
    until(lambda: len(panel.snapshot().journeys) >= 3)
    assert panel.running
    panel.widgets.repeat.value = False
    until(lambda: not panel.running)
    assert timeouts.write(cluster.connection, slow_namespace, "tomcat", 0.0) == 0.0
    until(lambda: panel.widgets.timeouts[1].value == 0.0)


def test_what_is_refused_is_shown_and_the_slider_goes_back(panel: TimeoutPanel, cluster: Any, slow_namespace: str) -> None:
    with pytest.raises(KubernetesError, match="refused"):
        panel.set_timeout("tomcat", 0.0004)
    assert 'role="alert"' in panel.widgets.error.value
    assert panel.widgets.timeouts[1].value == 1.0
    panel.set_timeout("tomcat", 2.0)
    assert panel.widgets.error.value == ""


def test_what_is_not_there_is_said(cluster: Any, slow_namespace: str) -> None:
    with pytest.raises(KubernetesError, match="no VirtualService absent"):
        made(cluster, slow_namespace, "absent").open()


def test_closing_ends_the_sending(panel: TimeoutPanel) -> None:
    with pytest.raises(PanelError, match="no request was sent"):
        panel.wait_journey(within=0.1)
    panel.start()
    until(lambda: panel.snapshot().journeys)
    inputs = panel.widgets.inputs()
    panel.close()
    assert not panel.running
    assert all(widget.disabled for widget in inputs)
    with pytest.raises(PanelError, match="closed"):
        panel.send()
