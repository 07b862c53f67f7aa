"""Each panel in a real browser: shown by a notebook, moved by keyboard alone, its figure read back, its looks kept as pictures.

Pictures (light, dark, and in a window of 700 pixels) go to MESHCOURSE_ARTIFACTS. What must hold in each of them is asserted too: no
text leaves the figure, and no two texts lie on each other. With MESHCOURSE_ALL_PANELS=1 JupyterLab and Notebook 7 both open every panel,
and its kernel is restarted while it works; without it some panels are opened, each by one of the two, and one kernel is restarted. The
mouse is taken by test_canary_in_the_browser.py.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest
from browsing import MANIFESTS, Desk
from operating import click, data, focus, moves_on, press, push, readout, tick, trace, unerring, until

pytestmark = [pytest.mark.browser, pytest.mark.cluster, pytest.mark.slow]
ALL = os.environ.get("MESHCOURSE_ALL_PANELS") == "1"
DEAD = ".jupyter-widgets-disconnected"
"""What a page without a kernel shows: ipywidgets shows a broken chain there."""
AT_LEISURE = pytest.mark.skipif(not ALL, reason="most of a minute each: set MESHCOURSE_ALL_PANELS=1 after a change of this panel")


def opened_by(usual: str = "") -> pytest.MarkDecorator:
    """Run a test in JupyterLab and in Notebook 7; by default only in the `usual` one, or in none."""
    return pytest.mark.parametrize(
        "desk", [pytest.param(front, marks=() if front == usual else AT_LEISURE) for front in browsing.FRONTS], indirect=True
    )


@pytest.fixture(scope="module")
def shared_desk(cluster: Any, page: Any, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with browsing.desk(cluster, page, tmp_path_factory.mktemp("desk"), artifacts) as made:
        yield made


@pytest.fixture
def desk(shared_desk: Desk, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Each test's namespaces are deleted after it: a Gateway for every host would receive the next one's requests."""
    yield dataclasses.replace(shared_desk, front=request.param)
    while shared_desk.namespaces:
        namespace = shared_desk.namespaces.pop()
        shared_desk.cluster.kubectl("-n", namespace, "delete", "gateway,virtualservice", "--all", check=False)
        shared_desk.cluster.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def rules(desk: Desk, namespace: str, name: str) -> list[dict[str, Any]]:
    """The http rules of a VirtualService, as the API server holds them."""
    found: list[dict[str, Any]] = desk.cluster.get("-n", namespace, "virtualservice", name)["spec"]["http"]
    return found


def restart(desk: Desk, panel: Any, name: str, begin: str, *, calls: bool = True, drawn: str = ".main-svg", seldom: bool = True) -> None:
    """Have the kernel restarted while the panel does what a button begins: none of it goes on, the page says so, and a new one is shown.

    `calls`: it keeps calling the gateway. What the new one does is seen by the rest of a test; `seldom` ones are left out by default.
    """
    if seldom and not ALL:
        return
    with unerring(desk.page):
        focus(panel, begin)
        before = panel.inner_text()
        desk.page.keyboard.press("Enter")
        until(desk.page, lambda: panel.inner_text() != before, "answer to the button")
        if calls:
            until(desk.page, desk.callers, "connection of its load")
            moves_on(panel)
        desk.restart()
        until(desk.page, lambda: not desk.callers(), "end of its load")
        panel.screenshot(path=str(desk.artifacts / f"restarted-{name}-{desk.front}.png"))
        assert panel.and_(desk.page.locator(DEAD)).count() == 1, "what is left looks like a panel that works"
        desk.run()
        until(desk.page, lambda: panel.count() == 1 and not panel.and_(desk.page.locator(DEAD)).count(), "panel of the new kernel")
        panel.locator(f"{drawn} >> nth=0").wait_for(state="attached")


@opened_by()
def test_weights(desk: Desk) -> None:
    namespace = desk.apply("05-canary", "01", "02", "03", "04", "05")
    desk.ready(namespace, "web-v1", "web-v2")
    panel = desk.show("05-canary", "lab.weight_panel()")
    restart(desk, panel, "weights", ".mc-start")
    push(panel, ".mc-start")
    until(desk.page, lambda: trace(panel, "v2 observed")["x"][-1:] > [12], "twelve seconds of load")
    press(panel, "mc-weight-v2", "PageUp", 3)
    wanted = int(readout(panel, "mc-weight-v2"))
    assert wanted > 10
    handle = panel.locator(".mc-weight-v2 .noUi-handle")
    assert (handle.get_attribute("aria-label"), handle.get_attribute("aria-valuenow")) == ("v2", str(wanted))
    until(desk.page, lambda: any(y is not None and abs(y - wanted) < 12 for y in trace(panel, "v2 observed")["y"]), "share")
    until(desk.page, lambda: trace(panel, "p95")["y"][-1], "latency")
    until(desk.page, lambda: trace(panel, "v2 observed")["x"][-1] > 30, "half a minute of load")
    desk.looks(panel, "weights")
    push(panel, ".mc-stop", "Space")
    route = rules(desk, namespace, "web")[0]["route"]
    assert {each["destination"]["subset"]: each["weight"] for each in route} == {"v1": 100 - wanted, "v2": wanted}


@opened_by()
def test_rollout(desk: Desk) -> None:
    namespace = desk.apply("05-canary", "01", "02", "03", "04", "05")
    desk.ready(namespace, "web-v1", "web-v2")
    panel = desk.show("05-canary", "lab.rollout_panel()")
    restart(desk, panel, "rollout", ".mc-rollout")
    press(panel, "mc-rate", "PageUp", 2)
    assert int(readout(panel, "mc-rate")) > 50
    push(panel, ".mc-rollout")
    until(desk.page, lambda: "✔" in panel.locator(".mc-rollout-log").inner_text(), "step that was promoted")
    desk.looks(panel, "rollout")
    push(panel, ".mc-halt")
    push(panel, ".mc-stop")
    assert rules(desk, namespace, "web")[0]["route"][1]["weight"] > 10


@opened_by()
def test_player(desk: Desk) -> None:
    """A film of the same kind of panel as in another test, without a mesh."""
    namespace = desk.apply("05-canary", "01", "02", "03", "04", "05")
    desk.ready(namespace, "web-v1", "web-v2")
    film = "panel = lab.weight_panel(); panel.start(); panel.record('run.film'); panel.wait_observed('v2', 0.1); panel.close()"
    panel = desk.show("05-canary", f"{film}\nlab.replay('run.film')")
    restart(desk, panel, "player", ".mc-play", calls=False)
    shown = len(trace(panel, "p95")["y"])
    press(panel, "mc-moment", "Home")
    until(desk.page, lambda: len(trace(panel, "p95")["y"]) < shown, "first moment")
    push(panel, ".mc-play")
    until(desk.page, lambda: len(trace(panel, "p95")["y"]) == shown, "last moment")
    desk.looks(panel, "player")


@opened_by("lab")
def test_topology(desk: Desk) -> None:
    namespace = desk.apply("04-bookinfo", "01", "02")
    desk.ready(namespace, "productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")
    panel = desk.show("04-bookinfo", "lab.topology_panel()")
    restart(desk, panel, "topology", ".mc-topology-start")
    names = {"productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3"}
    assert names <= set(trace(panel, "workloads")["text"])
    drawn = panel.locator(".main-svg .scatterlayer .textpoint text").all_text_contents()
    assert names <= set(drawn), "the circles are not painted"
    push(panel, ".mc-topology-start")
    until(desk.page, lambda: len(trace(panel, "labels")["text"]) >= 7, "edges with calls")
    press(panel, "mc-topology-rate", "ArrowRight", 5)
    assert readout(panel, "mc-topology-rate") == "15"
    until(desk.page, lambda: any(each.startswith(("14", "15")) for each in trace(panel, "labels")["text"]), "edge with the new rate")
    node = panel.locator(".mc-topology-node")
    click(panel, "workloads", "reviews-v2")
    until(desk.page, lambda: f"reviews-v2 in {namespace}" in node.inner_text() and "HTTP/1.1" in node.inner_text(), "its Envoy and its log")
    assert f"istioctl -n {namespace} proxy-config routes reviews-v2-" in node.inner_text()
    desk.looks(panel, "topology")
    focus(panel, ".mc-topology-workload select")
    for _ in range(4):  # by reviews-v1, ratings and productpage
        desk.page.keyboard.press("ArrowUp")
    until(desk.page, lambda: f"details-v1 in {namespace}" in node.inner_text(), "workload that was chosen by keyboard")
    push(panel, ".mc-topology-stop")


@opened_by("notebook7")
def test_breaker(desk: Desk) -> None:
    namespace = desk.apply("06-circuit-breaking", "01", "02", "03", "05", "07")
    desk.ready(namespace, "httpbin", "fortio-deploy", "httpbin-faulty")
    panel = desk.show("06-circuit-breaking", "lab.breaker_panel(callers=8)")
    restart(desk, panel, "breaker", ".mc-start")
    push(panel, ".mc-start")
    for slider in ("mc-breaker-connections", "mc-breaker-waiting"):
        press(panel, slider, "Home")
        press(panel, slider, "ArrowRight")
    until(desk.page, lambda: any(trace(panel, "over the limit")["y"]), "refused requests, as callers saw them")
    until(desk.page, lambda: any(trace(panel, "over the limit", number=1)["y"]), "refused requests, as Envoy counted them")
    until(desk.page, lambda: trace(panel, "in use")["x"], "endpoint")
    press(panel, "mc-breaker-errors", "ArrowRight", 3)
    until(desk.page, lambda: trace(panel, "ejected")["x"], "ejected endpoint")
    desk.looks(panel, "breaker")
    push(panel, ".mc-stop")
    policy = desk.cluster.get("-n", namespace, "destinationrule", "httpbin")["spec"]["trafficPolicy"]
    assert policy["connectionPool"]["tcp"]["maxConnections"] == policy["connectionPool"]["http"]["http1MaxPendingRequests"] == 1


@opened_by()
def test_timeout(desk: Desk) -> None:
    namespace = desk.apply("07-timeouts", "01", "02", "03", "04")
    desk.ready(namespace, "nginx", "tomcat")
    into = ("-n", namespace, "exec", "-i", "deploy/nginx", "-c", "nginx", "--")
    desk.cluster.kubectl(*into, "tee", "/etc/nginx/conf.d/default.conf", stdin=(MANIFESTS / "07_timeouts" / "nginx.conf").read_text())
    desk.cluster.kubectl(*into, "nginx", "-s", "reload")
    panel = desk.show("07-timeouts", "lab.timeout_panel(delay=1.5)")
    restart(desk, panel, "timeout", ".mc-repeat")
    push(panel, ".mc-send")
    until(desk.page, lambda: len(trace(panel, "hops")["y"]) == 5, "waterfall of five rows")
    desk.looks(panel, "waterfall")
    press(panel, "mc-delay", "Home")
    push(panel, ".mc-repeat")
    until(desk.page, lambda: len(trace(panel, "you waited")["y"]) >= 3, "three requests")
    push(panel, ".mc-repeat")
    waited = trace(panel, "you waited")["y"]
    assert waited[0] > waited[-1]
    until(desk.page, lambda: len(trace(panel, "hops")["y"]) == 5, "waterfall of five rows")
    press(panel, "mc-timeout-0", "Home")
    press(panel, "mc-timeout-0", "ArrowRight", 5)
    until(desk.page, lambda: rules(desk, namespace, "slow")[0].get("timeout") in {"0.5s", "500ms"}, "timeout of half a second")
    desk.looks(panel, "timeout")


@opened_by()
def test_retries(desk: Desk) -> None:
    namespace = desk.apply("08-faults-retries", "02", "09", "10")
    desk.ready(namespace, "front", "middle", "back")
    panel = desk.show("08-faults-retries", "lab.retry_panel()")
    restart(desk, panel, "retries", ".mc-start")
    press(panel, "mc-fault", "PageUp", 4)
    press(panel, "mc-attempts", "ArrowRight")
    fault, attempts = int(readout(panel, "mc-fault")), int(readout(panel, "mc-attempts"))
    assert fault > 0
    push(panel, ".mc-start")
    until(desk.page, lambda: [y for y in trace(panel, "succeeded observed")["y"] if y is not None], "share of success")
    until(desk.page, lambda: "predicted" in panel.locator(".mc-formula").inner_text(), "prediction")
    desk.looks(panel, "retries")
    push(panel, ".mc-stop")
    assert any(rule.get("retries", {}).get("attempts") == attempts for rule in rules(desk, namespace, "front"))


@opened_by("lab")
def test_faults(desk: Desk) -> None:
    namespace = desk.apply("08-faults-retries", "01", "02", "03")
    desk.ready(namespace, "nginx", "tomcat")
    panel = desk.show("08-faults-retries", "lab.fault_panel()")
    restart(desk, panel, "faults", ".mc-start", seldom=False)
    push(panel, ".mc-who button:has-text('only')", "Space")
    push(panel, ".mc-start")
    until(desk.page, lambda: any(trace(panel, "aborted observed")["y"]), "aborted request")
    until(desk.page, lambda: trace(panel, "aborted observed", number=1)["y"][-1:] == [0], "request without the header that is let through")
    before = int(readout(panel, "mc-abort"))
    press(panel, "mc-abort", "ArrowLeft", 2)
    assert int(readout(panel, "mc-abort")) == before - 2
    until(desk.page, lambda: aborted(rules(desk, namespace, "tomcat")) == before - 2, "share of aborts that the API server holds")
    desk.looks(panel, "faults")
    push(panel, ".mc-stop")


def aborted(http: list[dict[str, Any]]) -> float:
    return max((rule.get("fault", {}).get("abort", {}).get("percentage", {}).get("value", 0) for rule in http), default=0)


@opened_by()
def test_objectives(desk: Desk) -> None:
    namespace = desk.apply("10-capstone", "01", "02", "03")
    desk.ready(namespace, "checkout-v1", "checkout-v2-a", "checkout-v2-b")
    panel = desk.show("10-capstone", "lab.objective_panel()")
    restart(desk, panel, "objectives", ".mc-start")
    push(panel, ".mc-start")
    until(desk.page, lambda: "✘" in panel.locator(".mc-board").inner_text(), "missed objective")
    desk.looks(panel, "objectives")
    push(panel, ".mc-stop")


@opened_by()
def test_pushes(desk: Desk) -> None:
    namespace = desk.apply("01-components", "01", "02")
    desk.ready(namespace, "client", "web")
    panel = desk.show("01-components", 'lab.push_panel("web")')
    restart(desk, panel, "pushes", ".mc-push-five", calls=False)
    push(panel, ".mc-push-five")
    until(desk.page, lambda: [len([y for y in each["y"] if y]) for each in data(panel)[1:]] == [5, 5], "five orders at two Envoys")
    desk.looks(panel, "pushes")


@opened_by()
def test_injection(desk: Desk) -> None:
    desk.take("injection", *(f"injection-trial-{name}" for name in ("plain", "enabled", "disabled", "revision")))
    panel = desk.show("03-injection", "lab.injection_panel()", drawn="table")
    restart(desk, panel, "injection", ".mc-prove-all", calls=False, drawn="table")
    push(panel, ".mc-namespace button:has-text('enabled')", "Space")
    push(panel, ".mc-guess-sidecar")
    until(desk.page, lambda: "You were right" in panel.locator(".mc-said").inner_text(), "verdict")
    push(panel, ".mc-prove-all")
    until(desk.page, lambda: panel.locator(".mc-table td:has-text('?')").count() == 0, "twelve proofs")
    desk.looks(panel, "injection")


@opened_by()
def test_profiles(desk: Desk) -> None:
    panel = desk.show("02-install-uninstall", "lab.profile_panel()", drawn="table")
    restart(desk, panel, "profiles", ".mc-other button:has-text('minimal')", calls=False, drawn="table")
    push(panel, ".mc-other button:has-text('minimal')")
    until(desk.page, lambda: "minimal" in panel.locator("table").inner_text(), "profile that was chosen")
    desk.looks(panel, "profiles")


@opened_by()
def test_inspector(desk: Desk) -> None:
    namespace = desk.apply("05-canary", "01", "02", "03", "05", "08")
    desk.ready(namespace, "web-v1", "web-v2")
    panel = desk.show("05-canary", "lab.inspector_panel()", drawn=".mc-said")
    restart(desk, panel, "inspector", ".mc-send", calls=False, drawn=".mc-said")
    push(panel, ".mc-send")
    until(desk.page, lambda: "there is no header x-team" in panel.locator(".mc-routes").inner_text(), "route that was passed over")
    focus(panel, ".mc-headers textarea")
    desk.page.keyboard.type("x-team: internal")
    push(panel, ".mc-send")
    until(desk.page, lambda: "web-v2" in panel.locator(".mc-hops").inner_text(), "pod of v2")
    desk.looks(panel, "inspector")


@opened_by("lab")
def test_a_panel_shown_twice_is_one_panel_and_either_view_may_go(desk: Desk) -> None:
    namespace = desk.apply("05-canary", "01", "02", "03", "04", "05")
    desk.ready(namespace, "web-v1", "web-v2")
    one = desk.show("05-canary", "panel = lab.weight_panel()\npanel", "panel")
    other = desk.panel(1)
    push(other, ".mc-start")
    for view in (one, other):
        until(desk.page, lambda view=view: view.locator(".mc-stop").is_enabled(), "button that follows")
        moves_on(view)
    press(other, "mc-weight-v2", "PageUp", 3)
    wanted = readout(other, "mc-weight-v2")
    assert int(wanted) > 10
    until(desk.page, lambda: readout(one, "mc-weight-v2") == wanted, "slider that follows")
    until(desk.page, lambda: all(any(y and y > 20 for y in trace(view, "v2 observed")["y"]) for view in (one, other)), "share")
    desk.page.screenshot(path=str(desk.artifacts / f"two-views-{desk.front}.png"))
    desk.at(0, "notebook:clear-cell-output")
    until(desk.page, lambda: not one.count(), "cell without its view")
    moves_on(other)
    desk.at(1, "notebook:run-cell")
    until(desk.page, lambda: other.count() == 1 and tick(other), "view that was made anew")
    moves_on(other)
    press(other, "mc-weight-v2", "PageDown")
    left = int(readout(other, "mc-weight-v2"))
    assert left < int(wanted)
    until(desk.page, lambda: rules(desk, namespace, "web")[0]["route"][1]["weight"] == left, "weight that the API server holds")
    push(other, ".mc-stop")
    until(desk.page, lambda: other.locator(".mc-start").is_enabled(), "end of the load")


@opened_by("notebook7")
def test_two_panels_at_once_each_live_and_stop_by_themselves(desk: Desk) -> None:
    namespace = desk.apply("08-faults-retries", "01", "02", "03", "09", "10")
    desk.ready(namespace, "nginx", "tomcat", "front", "middle", "back")
    faults = desk.show("08-faults-retries", "lab.fault_panel()", "lab.retry_panel()")
    retries = desk.panel(1)
    for panel in (faults, retries):
        push(panel, ".mc-start")
    press(faults, "mc-abort", "ArrowLeft", 3)
    press(retries, "mc-fault", "PageUp", 4)
    abort, fault = int(readout(faults, "mc-abort")), int(readout(retries, "mc-fault"))
    assert 0 < abort < 50
    assert fault > 0
    until(desk.page, lambda: aborted(rules(desk, namespace, "tomcat")) == abort, "the one's share of aborts")
    until(desk.page, lambda: aborted(rules(desk, namespace, "back")) == fault, "the other's fault")
    until(desk.page, lambda: any(trace(faults, "aborted observed")["y"]), "aborted request")
    until(desk.page, lambda: any(trace(retries, "succeeded observed")["y"]), "request that succeeded")
    for panel in (faults, retries):
        moves_on(panel)
        assert panel.evaluate(browsing.CROWDED) == []
    desk.page.screenshot(path=str(desk.artifacts / f"two-panels-{desk.front}.png"))
    desk.reload()
    for panel in (faults, retries):
        until(desk.page, lambda panel=panel: panel.locator(".mc-stop").is_enabled(), "panel of the reloaded page")
        moves_on(panel)
    push(faults, ".mc-stop")
    until(desk.page, lambda: faults.locator(".mc-start").is_enabled(), "end of the one's load")
    assert retries.locator(".mc-stop").is_enabled()
    moves_on(retries)
    push(retries, ".mc-stop")
    until(desk.page, lambda: retries.locator(".mc-start").is_enabled(), "end of the other's load")
