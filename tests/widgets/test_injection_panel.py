"""The injection panel: its table as reviewed, and its proofs on a real istiod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golden
import pytest
from waiting import until

from meshcourse.core.errors import PanelError
from meshcourse.kube.connection import Connection
from meshcourse.widgets.figures import injection as picture
from meshcourse.widgets.figures.injection import Proof, View
from meshcourse.widgets.panels.injection import NAMESPACES, PODS, SUFFIXES, InjectionPanel

PREFIX = "t-injection"
ENABLED, DISABLED = "istio-injection=enabled", "istio-injection=disabled"
YES, NO = "sidecar.istio.io/inject=true", "sidecar.istio.io/inject=false"
HALF = View(
    tuple(NAMESPACES),
    tuple(PODS),
    (ENABLED, NO),
    {
        (ENABLED, "no label"): Proof("2/2", injected=True, as_predicted=True),
        (ENABLED, NO): Proof("1/1", injected=False, as_predicted=True),
        (DISABLED, YES): Proof("1/1", injected=False, as_predicted=False),
    },
)


def test_table_is_as_reviewed() -> None:
    made = picture.table(HALF).replace("<tr>", "\n<tr>").replace("<td", "\n  <td").replace("<th", "\n  <th") + "\n"
    golden.as_reviewed("injection.html", made)


def test_every_cell_says_in_words_what_its_colour_says() -> None:
    page = picture.table(HALF)
    for words in ("2/2 sidecar", "1/1 none", "1/1 none ≠ predicted"):
        assert words in page
    assert page.count(">?<") == 9
    assert "namespace istio-injection=enabled, pod no label: 2/2" in picture.describe(HALF)
    assert "Nothing" in picture.describe(View(tuple(NAMESPACES), tuple(PODS), (ENABLED, NO)))


@pytest.fixture
def panel(cluster: Any) -> Iterator[InjectionPanel]:
    with InjectionPanel(cluster.connection, prefix=PREFIX, by="tests") as made:
        yield made
    cluster.kubectl("delete", "namespace", *(f"{PREFIX}-{each}" for each in SUFFIXES.values()), "--ignore-not-found", timeout=120)


@pytest.mark.cluster
def test_guess_is_proved_by_the_api_server_and_nothing_is_made(cluster: Any, panel: InjectionPanel) -> None:
    assert panel.choose(ENABLED, "no label").injected
    assert panel.guess(sidecar=True).ready == "2/2"
    assert "You were right" in panel.snapshot().said
    assert not panel.choose(DISABLED, YES).injected
    panel.guesses["2/2, with a sidecar"].click()
    until(lambda: (DISABLED, YES) in panel.snapshot().proofs)
    until(lambda: "Not so" in panel.snapshot().said)
    assert "that holds for all its pods" in panel.snapshot().said
    assert len(panel.prove_all()) == 12
    assert "12 of 12 follow the three sentences; your guesses: " in panel.snapshot().said
    assert panel.table.value.count(">?<") == 0
    assert cluster.kubectl("get", "pods", "-n", f"{PREFIX}-enabled", "-o", "name") == ""


@pytest.mark.cluster
def test_unknown_choice_and_a_refusal_are_said(cluster: Any, panel: InjectionPanel) -> None:
    with pytest.raises(PanelError, match="no choice 'enabled'"):
        panel.choose("enabled", "no label")
    cluster.kubectl("create", "namespace", f"{PREFIX}-revision")
    panel.choose("istio.io/rev=default", "no label")
    panel.guesses["1/1, no sidecar"].click()
    until(lambda: "other labels" in panel.snapshot().error)
    assert "other labels" in panel.widgets.error.value


def test_cluster_that_does_not_answer_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be used") as caught:
        InjectionPanel(Connection(tmp_path / "absent", "http://127.0.0.1:1"), prefix="x", by="tests").open()
    assert caught.value.next  # type: ignore[attr-defined]
