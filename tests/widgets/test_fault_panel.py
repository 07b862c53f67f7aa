"""The fault panel: its figure as reviewed, and faults on the real mesh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golden
import plotly.graph_objects as go
import pytest
from waiting import until

from meshcourse.core.errors import KubernetesError, PanelError
from meshcourse.kube import resources
from meshcourse.measure.windows import Summary
from meshcourse.mesh import propagation
from meshcourse.mesh.rules import faults
from meshcourse.mesh.rules.faults import Faults
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import faults as picture
from meshcourse.widgets.models import faults as faulting
from meshcourse.widgets.models.faults import ABORTED, BOTH, CHOSEN, DELAYED, NEITHER, OTHERS, Story
from meshcourse.widgets.panels.faults import FaultPanel

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "08_faults_retries"
SOME = Faults(abort=50, delay=20, seconds=2.0, chosen=True)


def told(*ticks: dict[str, dict[str, int]]) -> faulting.View:
    story = Story()
    story.add(0.0, SOME, {CHOSEN: None, OTHERS: None})
    for number, groups in enumerate(ticks, start=1):
        found = {group: Summary(4.0, sum(each.values()), each) for group, each in groups.items()}
        story.add(0.25 * number, SOME, {CHOSEN: found[CHOSEN], OTHERS: found[OTHERS]})
    return story.view()


VIEWS = {
    "faults_before_load": Story().view(),
    "faults_by_header": told(
        {CHOSEN: {ABORTED: 4, NEITHER: 6}, OTHERS: {NEITHER: 10}},
        {CHOSEN: {ABORTED: 30, DELAYED: 10, BOTH: 10, NEITHER: 30}, OTHERS: {NEITHER: 80}},
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_figure_is_as_reviewed_and_plotly_takes_it(name: str) -> None:
    golden.figure_as_reviewed(name, picture.figure(VIEWS[name]))
    assert len(go.Figure(picture.figure(VIEWS[name])).data) == 16


def test_a_live_figure_moved_on_shows_what_a_new_one_would() -> None:
    live = live_figure.made(picture.figure(VIEWS["faults_before_load"]))
    picture.update(live, VIEWS["faults_by_header"])
    wanted = go.Figure(picture.figure(VIEWS["faults_by_header"]))
    assert [(trace.name, tuple(trace.x), tuple(trace.y)) for trace in live.data] == [
        (trace.name, tuple(trace.x), tuple(trace.y)) for trace in wanted.data
    ]


def test_the_picture_is_told_in_words_too() -> None:
    words = picture.describe(VIEWS["faults_by_header"])
    assert "with the header, aborted: 50 % wanted, 50.0 % observed" in words
    assert "with the header, delayed: 20 % wanted, 25.0 % observed" in words
    assert "without it, aborted: 0 % wanted, 0.0 % observed" in words
    assert "No load" in picture.describe(VIEWS["faults_before_load"])


def test_an_answer_tells_which_faults_it_met() -> None:
    assert faulting.outcome(aborted=False, seconds=0.1, delay=2.0) == NEITHER
    assert faulting.outcome(aborted=True, seconds=0.1, delay=2.0) == ABORTED
    assert faulting.outcome(aborted=False, seconds=2.01, delay=2.0) == DELAYED
    assert faulting.outcome(aborted=True, seconds=1.99, delay=2.0) == BOTH


@pytest.mark.parametrize("wanted", [Faults(), Faults(50, 0), Faults(0, 30, 0.5), SOME, Faults(10, 0, 1.0, chosen=True)])
def test_rules_say_what_was_wanted(wanted: Faults) -> None:
    given = {"name": "tomcat", "timeout": "3s", "retries": {"attempts": 2}, "route": [{"destination": {"host": "tomcat"}}]}
    for before in ([given], faults.rules([given], SOME), faults.rules([given], Faults(10, 10))):
        made = faults.rules(before, wanted)
        assert faults.described_by({"spec": {"http": made}}) == wanted
        assert all(rule[field] == given[field] for rule in made for field in ("timeout", "retries", "route")), "all else stays"
        assert "fault" not in made[-1] or not wanted.chosen, "who lacks the header meets no fault"
        assert len(made) == (2 if wanted.chosen else 1)


def test_other_rules_conditions_and_the_status_of_an_abort_stay() -> None:
    first = {"match": [{"uri": {"prefix": "/shop"}}], "fault": {"abort": {"httpStatus": 429, "percentage": {"value": 5}}}, "route": ["a"]}
    rest = {"route": ["b"]}
    assert not faults.described_by({"spec": {"http": [first, rest]}}).chosen, "a condition is not the header"
    chosen, base, other = faults.rules([first, rest], Faults(abort=20, chosen=True))
    assert chosen["match"] == [{"uri": {"prefix": "/shop"}, "headers": {"x-chaos": {"exact": "yes"}}}]
    assert chosen["fault"] == {"abort": {"httpStatus": 429, "percentage": {"value": 20}}}
    assert (base, other) == ({"match": first["match"], "route": ["a"]}, rest)
    assert faults.rules([chosen, base, other], Faults(abort=5)) == [first, rest]


@pytest.fixture
def panel(cluster: Any, injected: str) -> Iterator[FaultPanel]:
    for name in ("01-services", "02-door", "03-abort"):
        resources.apply(cluster.connection, MANIFESTS / f"{name}.yaml", namespace=injected)
    resources.wait_for_rollout(cluster.connection, injected, ["nginx", "tomcat"])
    assert not propagation.wait(cluster.connection, injected).missing
    with FaultPanel(cluster.connection, namespace=injected, virtual_service="tomcat", host="store.example.com") as made:
        yield made


@pytest.mark.cluster
def test_faults_hit_whom_they_should_and_the_sliders_follow(cluster: Any, injected: str, panel: FaultPanel) -> None:
    assert panel.snapshot().faults == Faults(abort=50)
    panel.start()
    panel.wait_wanted()
    assert panel.set_faults(abort=30, delay=40, seconds=0.5, chosen=True) == Faults(30, 40, 0.5, chosen=True)
    found = panel.wait_wanted()
    assert not {ABORTED, BOTH} & set(found.seen[OTHERS].versions)
    assert found.seen[CHOSEN].versions[DELAYED] > 0
    until(lambda: "with the header, aborted: 30 % wanted" in panel.alt.value)
    panel.abort.value = 100
    until(lambda: panel.snapshot().faults.abort == 100)
    cluster.kubectl("-n", injected, "apply", "-f", str(MANIFESTS / "03-abort.yaml"))
    until(lambda: (panel.abort.value, panel.delay.value, panel.who.value) == (50, 0, "every request"))
    panel.stop()
    assert not panel.running
    with pytest.raises(PanelError, match="did not reach the wanted shares") as caught:
        panel.wait_wanted(within=0.1)
    assert "panel.start" in caught.value.next
    cluster.kubectl("-n", injected, "delete", "virtualservice", "tomcat")
    panel.abort.value = 10
    until(lambda: "no VirtualService tomcat" in panel.snapshot().error)


@pytest.mark.cluster
def test_a_virtual_service_that_is_not_there_is_named(cluster: Any, namespace: str) -> None:
    with pytest.raises(KubernetesError, match="no VirtualService absent"):
        FaultPanel(cluster.connection, namespace=namespace, virtual_service="absent", host="x").open()
