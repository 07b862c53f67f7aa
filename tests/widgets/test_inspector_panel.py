"""The inspector: its tables as reviewed, and what one request does on the real mesh."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import golden
import pytest
from waiting import until

from meshcourse.core.errors import TrafficError
from meshcourse.kube import resources
from meshcourse.measure import access_logs
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.request_hops import Hop
from meshcourse.measure.route_matching import Step, Verdict
from meshcourse.mesh import propagation
from meshcourse.mesh.envoy.config_dump import Route, Share
from meshcourse.widgets.figures import inspection as picture
from meshcourse.widgets.figures.inspection import Inspection
from meshcourse.widgets.panels.inspector import InspectorPanel, typed

WEB = "web.canary.svc.cluster.local"
FIELDS = dict.fromkeys(access_logs.MEANING, "-")


def entry(cluster: str, to: str, **more: str) -> Entry:
    return Entry("", {**FIELDS, "upstream_cluster": cluster, "upstream_host": to, "code": "200", "duration": "4", **more})


def alone(cluster: str, **more: str) -> Hop:
    return Hop("gateway-1", "", entry(cluster, "-", **more))


STEPS = (
    Step("web", "team", Route(("x-team exact <b>",), (Share(WEB, "v2", 1),)), Verdict.PASSED_OVER, "there is no header x-team"),
    Step("web", "split", Route((), (Share(WEB, "v1", 90), Share(WEB, "v2", 10)), ("timeout 1 s",)), Verdict.TAKEN),
    Step("web", "", Route((), (Share(WEB, "v1", 1),)), Verdict.NOT_ASKED),
)
PASSED = (
    Hop("istio-ingressgateway-1", "", entry(f"outbound|80|v2|{WEB}", "10.0.0.9:80", code_details="via_upstream")),
    Hop("web-v2-1", "", entry("inbound|80||", "10.0.0.9:80", code_details="via_upstream")),
)
WHOLE = Inspection("GET / at shop.example.com", STEPS, 200, 0.012, "", PASSED, {"10.0.0.9": "web-v2-1"})
FOUND = {
    "whole": WHOLE,
    "waiting": dataclasses.replace(WHOLE, hops=()),
    "moved on": dataclasses.replace(WHOLE, moved=True),
    "named by the log": dataclasses.replace(WHOLE, steps=(dataclasses.replace(STEPS[1], why="the gateway's log names it"), STEPS[2])),
    "cut": dataclasses.replace(WHOLE, status=503, hops=(alone("-", code="503", code_details="fault_filter_abort"),)),
    "nobody there": dataclasses.replace(
        WHOLE, status=503, hops=(alone(f"outbound|80|v2|{WEB}", code="503", flags="UH", code_details="no_healthy_upstream"),)
    ),
    "refused": dataclasses.replace(
        WHOLE,
        status=403,
        hops=(alone("-", code="403", code_details="rbac_access_denied_matched_policy[ns[shop]-policy[<only>]-rule[0]]"),),
    ),
    "nothing fits": dataclasses.replace(WHOLE, steps=STEPS[:1], status=404),
    "unsure": dataclasses.replace(WHOLE, steps=(dataclasses.replace(STEPS[0], verdict=Verdict.CANNOT_TELL, why="it depends on luck"),)),
    "unknown host": dataclasses.replace(WHOLE, steps=(), status=404),
    "no answer": dataclasses.replace(WHOLE, status=0, fault="timeout", seconds=10.0, hops=()),
    "closed": Inspection("GET / at shop.example.com", (), 0, 0.1, "reset", closed=True),
}


def test_the_tables_are_as_reviewed() -> None:
    pages = [f"<p>{picture.describe(each)}</p>" for each in FOUND.values()]
    pages += [
        picture.routes(FOUND[name].steps) + picture.hops(FOUND[name].hops, WHOLE.names) for name in ("whole", "cut", "refused", "unsure")
    ]
    golden.as_reviewed("inspection.html", "\n".join(pages))


def test_headers_are_typed_one_on_a_line() -> None:
    assert typed(" x-team: internal \n\ncookie: a=1; b=http://c\n") == {"x-team": "internal", "cookie": "a=1; b=http://c"}
    for wrong in ("x-team internal", ": internal", "x team: internal"):
        with pytest.raises(TrafficError, match="is not a header"):
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
    assert [hop.inward for hop in found.hops] == [False, True]
    assert found.names[found.hops[0].address] == found.hops[1].pod
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
    assert found.hops[1].pod.startswith("web-v2")
    assert [(step.verdict, step.why) for step in panel.ask(headers={"x-team": "public"}).steps] == [
        (Verdict.PASSED_OVER, "x-team: public is not internal"),
        (Verdict.TAKEN, ""),
    ]


@pytest.mark.cluster
def test_what_cannot_be_sent_is_said_in_the_panel(panel: InspectorPanel) -> None:
    panel.headers.value = "no header"
    panel.send.click()
    until(lambda: "is not a header" in panel.error.value)
    with pytest.raises(TrafficError, match="is not a header"):
        panel.ask()
    panel.headers.value = ""
    panel.send.click()
    until(lambda: (found := panel.snapshot()) is not None and found.hops)
    assert not panel.error.value


RULES = """
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {selector: {app: nobody}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: odd}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [odd.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: odd}
spec:
  hosts: [odd.example.com]
  gateways: [odd]
  http:
  - name: cut
    match: [{uri: {prefix: /cut}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: &web [{destination: {host: web}}]
  - {name: subset, match: [{uri: {prefix: /subset}}], route: [{destination: {host: web, subset: v9}}]}
  - {name: empty, match: [{uri: {prefix: /empty}}], route: [{destination: {host: nobody}}]}
  - {name: moved, match: [{uri: {prefix: /moved}}], redirect: {uri: /new, authority: b.example.com}}
  - {name: without, match: [{uri: {prefix: /w}, withoutHeaders: {x-team: {exact: internal}}}], rewrite: {uri: /}, route: *web}
  - {name: query, match: [{uri: {prefix: /w}, queryParams: {user: {exact: ada}}}], rewrite: {uri: /}, mirror: {host: web}, route: *web}
  - {name: class, match: [{uri: {regex: "/a[[:alpha:]]+"}, scheme: {exact: http}}], rewrite: {uri: /}, route: *web}
  - {name: tidy, match: [{uri: {exact: /y}}], rewrite: {uri: /}, route: *web}
"""
DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: odd-deny, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  action: DENY
  rules: [{to: [{operation: {hosts: [odd.example.com], paths: [/w*]}}]}]
"""


@pytest.fixture
def odd(canary: Any) -> Iterator[Any]:
    resources.apply(canary.connection, RULES, namespace=canary.namespace)
    assert not propagation.wait(canary.connection, canary.namespace).missing
    yield canary
    resources.delete(canary.connection, RULES, namespace=canary.namespace)
    resources.delete(canary.connection, DENY)


@pytest.mark.cluster
def test_who_answered_and_which_route_was_taken_is_what_the_gateways_log_says(panel: InspectorPanel, odd: Any) -> None:
    def ask(path: str, **headers: str) -> tuple[str, str]:
        found = panel.ask(path, host="odd.example.com", headers=headers)
        return (found.taken.name if found.taken else "", picture.describe(found))

    for path, name, words in (
        ("/cut", "cut", "HTTP 418 .*the gateway gave the answer itself, on the way to web: the route's fault .abort. ended it"),
        ("/subset", "subset", "HTTP 503 .*the gateway gave the answer itself: the route's destination does not exist"),
        ("/empty", "empty", "HTTP 503 .*the gateway gave the answer itself, on the way to nobody: no pod of the destination takes"),
        ("/moved", "moved", "HTTP 301 .*the gateway gave the answer itself: the route has an answer of its own"),
        ("/w", "without", "the gateway's log says the same: it went to web"),
        ("/abc", "class", "the gateway's log says the same: it went to web"),
        ("/x/../y", "tidy", "the gateway's log says the same: it went to web"),
        ("/%79", "tidy", "the gateway's log says the same: it went to web"),
    ):
        taken, said = ask(path)
        assert (taken, bool(re.search(words, said))) == (name, True), said
    assert ask("/w?user=ada", **{"x-team": "internal"})[0] == "query"
    taken, said = ask("/w", **{"x-team": "internal"})
    assert (taken, "None of the gateway's routes matches: it answers 404 itself." in said) == ("", True)
    rows = {step.name: (step.route.fits, step.route.goes) for step in panel.snapshot().steps}  # type: ignore[union-attr]
    assert rows["without"] == ("uri prefix /w and not x-team exact internal", "web; rewrite path to /")
    assert rows["query"] == ("uri prefix /w and query user exact ada", "web; mirror to web; rewrite path to /")
    assert rows["moved"] == ("uri prefix /moved", "redirects (301) to b.example.com/new")
    resources.apply(odd.connection, DENY)
    until(lambda: "AuthorizationPolicy odd-deny of namespace istio-system refused it, by its rule 1" in ask("/w")[1])
