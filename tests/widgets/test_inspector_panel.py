"""The inspector: its tables as reviewed, and what one request does on the real mesh."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import golden
import pytest
from waiting import until

from meshcourse.core.errors import TrafficError
from meshcourse.measure import access_logs
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.passages import Passage
from meshcourse.measure.route_matching import Step, Verdict
from meshcourse.mesh.envoy.config_dump import Route, Share
from meshcourse.widgets.figures import inspection as picture
from meshcourse.widgets.figures.inspection import Inspection
from meshcourse.widgets.panels.inspector import InspectorPanel, typed

WEB = "web.canary.svc.cluster.local"
FIELDS = dict.fromkeys(access_logs.MEANING, "-")


def entry(cluster: str, to: str, **more: str) -> Entry:
    return Entry("", {**FIELDS, "upstream_cluster": cluster, "upstream_host": to, "code": "200", "duration": "4", **more})


STEPS = (
    Step("web", "team", Route(("x-team exact <b>",), (Share(WEB, "v2", 1),)), Verdict.PASSED_OVER, "there is no header x-team"),
    Step("web", "split", Route((), (Share(WEB, "v1", 90), Share(WEB, "v2", 10)), ("timeout 1 s",)), Verdict.TAKEN),
    Step("web", "", Route((), (Share(WEB, "v1", 1),)), Verdict.NOT_ASKED),
)
PASSED = (
    Passage("istio-ingressgateway-1", entry(f"outbound|80|v2|{WEB}", "10.0.0.9:80", code_details="via_upstream")),
    Passage("web-v2-1", entry("inbound|80||", "10.0.0.9:80", code_details="via_upstream")),
)
WHOLE = Inspection("GET / at shop.example.com", STEPS, 200, 0.012, "", PASSED, {"10.0.0.9": "web-v2-1"})
FOUND = {
    "whole": WHOLE,
    "waiting": dataclasses.replace(WHOLE, passages=()),
    "moved on": dataclasses.replace(WHOLE, passages=(Passage("gateway-1", entry(f"outbound|80|v3|{WEB}", "10.0.0.9:80")),)),
    "cut": dataclasses.replace(
        WHOLE, status=503, passages=(Passage("gateway-1", entry("-", "-", code="503", code_details="fault_filter_abort")),)
    ),
    "nothing fits": dataclasses.replace(WHOLE, steps=STEPS[:1], status=404),
    "unsure": dataclasses.replace(WHOLE, steps=(dataclasses.replace(STEPS[0], verdict=Verdict.CANNOT_TELL, why="it depends on luck"),)),
    "unknown host": dataclasses.replace(WHOLE, steps=(), status=404),
    "no answer": dataclasses.replace(WHOLE, status=0, fault="timeout", seconds=10.0, passages=()),
}


def test_the_tables_are_as_reviewed() -> None:
    pages = [f"<p>{picture.describe(each)}</p>" for each in FOUND.values()]
    pages += [picture.routes(FOUND[name].steps) + picture.hops(FOUND[name].passages, WHOLE.names) for name in ("whole", "cut", "unsure")]
    golden.as_reviewed("inspection.html", "\n".join(pages))


def test_headers_are_typed_one_on_a_line() -> None:
    assert typed(" x-team: internal \n\ncookie: a=1; b=http://c\n") == {"x-team": "internal", "cookie": "a=1; b=http://c"}
    for wrong in ("x-team internal", ": internal", "x team: internal"):
        with pytest.raises(TrafficError, match="is no header"):
            typed(wrong)
    for own in ("Host: a", "user-agent: b"):
        with pytest.raises(TrafficError, match="sets the header"):
            typed(own)


@pytest.fixture
def panel(canary: Any) -> Iterator[InspectorPanel]:
    with InspectorPanel(canary.connection, namespace=canary.namespace) as made:
        yield made


@pytest.mark.cluster
def test_one_request_is_explained_and_followed(panel: InspectorPanel, canary: Any) -> None:
    found = panel.ask()
    assert found.status == 200
    assert found.taken is not None
    assert found.chosen in found.taken.route.shares
    assert [passage.inward for passage in found.passages] == [False, True]
    assert found.names[found.passages[0].address] == found.passages[1].pod
    assert "log says the same" in panel.said.value
    patch = (
        '[{"op":"add","path":"/spec/http/0","value":{"name":"team","match":[{"headers":{"x-team":{"exact":"internal"}}}],'
        '"route":[{"destination":{"host":"web","subset":"v2"}}]}}]'
    )
    canary.cluster.kubectl("-n", canary.namespace, "patch", "virtualservice", "web", "--type=json", "-p", patch)
    until(lambda: len(panel.ask(headers={"x-team": "internal"}).steps) == 2)
    found = panel.ask(headers={"X-Team": "internal"})
    assert [step.verdict for step in found.steps] == [Verdict.TAKEN, Verdict.NOT_ASKED]
    assert found.chosen is not None
    assert found.chosen.subset == "v2"
    assert found.passages[1].pod.startswith("web-v2")
    assert [(step.verdict, step.why) for step in panel.ask(headers={"x-team": "public"}).steps] == [
        (Verdict.PASSED_OVER, "x-team: public is not internal"),
        (Verdict.TAKEN, ""),
    ]


@pytest.mark.cluster
def test_what_cannot_be_sent_is_said_in_the_panel(panel: InspectorPanel) -> None:
    panel.headers.value = "no header"
    panel.send.click()
    until(lambda: "is no header" in panel.error.value)
    with pytest.raises(TrafficError, match="is no header"):
        panel.ask()
    panel.headers.value = ""
    panel.send.click()
    until(lambda: (found := panel.snapshot()) is not None and found.passages)
    assert not panel.error.value
