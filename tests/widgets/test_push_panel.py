"""The push panel: its figure as reviewed, and changes pushed on a real istiod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golden
import plotly.graph_objects as go
import pytest
from waiting import until

from meshcourse.core.errors import PanelError
from meshcourse.kube import resources
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import pushes as picture
from meshcourse.widgets.figures.pushes import View
from meshcourse.widgets.panels.pushes import HEADER, PushPanel

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "01_components"
VIEWS = {
    "no_change": View({"client.n": (), "web.n": ()}),
    "three_changes": View({"client.n": (150.0, 320.5, 161.0), "web.n": (149.0, None, 140.0)}),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_figure_is_as_reviewed_and_plotly_takes_it(name: str) -> None:
    golden.figure_as_reviewed(f"pushes_{name}", picture.figure(VIEWS[name]))
    assert len(go.Figure(picture.figure(VIEWS[name])).data) == 3


def test_a_live_figure_moved_on_shows_what_a_new_one_would() -> None:
    live = live_figure.made(picture.figure(VIEWS["no_change"]))
    picture.update(live, VIEWS["three_changes"])
    wanted = go.Figure(picture.figure(VIEWS["three_changes"]))
    assert [(trace.name, tuple(trace.x), tuple(trace.y)) for trace in live.data] == [
        (trace.name, tuple(trace.x), tuple(trace.y)) for trace in wanted.data
    ]
    assert live.layout.yaxis.range == wanted.layout.yaxis.range


def test_the_picture_is_told_in_words_too() -> None:
    told = picture.describe(VIEWS["three_changes"])
    assert told == "3 changes. client.n: 150 to 320 ms, median 161 ms; web.n: 140 to 149 ms, median 144 ms."
    assert "No change" in picture.describe(VIEWS["no_change"])


@pytest.fixture
def panel(cluster: Any, injected: str) -> Iterator[PushPanel]:
    for name in ("01-team", "02-greeting"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=injected)
    resources.wait_for_rollout(cluster.connection, injected, ["client", "web"])
    proxies = [(injected, "client"), (injected, "web")]
    with PushPanel(cluster.connection, namespace=injected, virtual_service="web", proxies=proxies) as made:
        yield made


@pytest.mark.cluster
def test_changes_arrive_and_change_what_the_mesh_does(cluster: Any, injected: str, panel: PushPanel) -> None:
    arrivals = panel.push(2)
    assert {len(found) for found in arrivals.values()} == {2}
    assert all(value is not None and value > 50 for found in arrivals.values() for value in found)
    curl = ("exec", "deploy/client", "-c", "client", "--", "curl", "-s", "-i", "http://web/get")
    assert f"{HEADER}: istiod, change 2" in cluster.kubectl("-n", injected, *curl)
    panel.one.click()
    until(lambda: len(panel.snapshot().arrivals[f"web.{injected}"]) >= 3)
    assert panel.snapshot().header == "istiod, change 3"
    cluster.kubectl("-n", injected, "delete", "virtualservice", "web")
    panel.one.click()
    until(lambda: "no VirtualService web" in panel.snapshot().error)


@pytest.mark.cluster
def test_panel_without_a_virtual_service_says_what_is_missing(cluster: Any, namespace: str) -> None:
    with pytest.raises(PanelError, match="no VirtualService absent"):
        PushPanel(cluster.connection, namespace=namespace, virtual_service="absent", proxies=[]).open()


@pytest.mark.cluster
def test_ten_changes_at_once_become_one_update_of_every_proxy(panel: PushPanel) -> None:
    steps = panel.push_at_once(10)
    assert steps
    assert all(each is not None and each < 8 for each in steps.values()), "ten changes one by one would be ten updates"
    assert "Updates of each proxy" in panel.said.value
