"""Each panel in a real browser: shown by a notebook, moved with mouse and keyboard, its figure read back, its looks kept as pictures.

Pictures (light, dark, and in a window of 700 pixels) go to MESHCOURSE_ARTIFACTS. What must hold in each of them is asserted too: no
text leaves the figure, and no two texts lie on each other. JupyterLab shows all panels, Notebook 7 the weight panel.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import TimeoutError  # noqa: A004 - Playwright's own

from meshcourse.lab import chapters
from meshcourse.mesh import arrival, resources

pytestmark = [pytest.mark.browser, pytest.mark.cluster, pytest.mark.slow]
AT_LEISURE = pytest.mark.skipif(
    os.environ.get("MESHCOURSE_ALL_PANELS") != "1", reason="half a minute each: set MESHCOURSE_ALL_PANELS=1 after a change of this panel"
)

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests"
WIDE, NARROW = {"width": 1400, "height": 1400}, {"width": 700, "height": 1400}
LIMIT = 90_000
CROWDED = (Path(__file__).parent / "crowded.js").read_text(encoding="utf-8")
"""What is wrong with how a panel looks: an expression in the page."""
EXPOSED = json.dumps({name: {"expose_app_in_browser": True} for name in ("LabApp", "JupyterNotebookApp")})
# A cell that is run before the page is connected to an idle kernel is lost, or asks which kernel to take.
CONNECTED = """() => {
    const context = window.jupyterapp?.shell?.currentWidget?.sessionContext, kernel = context?.session?.kernel;
    return context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


@dataclass(frozen=True)
class Desk:
    """A browser before a running JupyterLab."""

    page: Any
    cluster: Any
    site: str
    """`http://127.0.0.1:8888`"""
    folder: Path
    artifacts: Path
    namespaces: list[str]
    """What a test made, and what goes after it."""

    def command(self, name: str, **arguments: Any) -> None:
        """Have one of the application's own commands run; it may take its time."""
        self.page.evaluate("([name, given]) => { void window.jupyterapp.commands.execute(name, given) }", [name, arguments])

    def apply(self, chapter: str, *files: str) -> str:
        """The chapter's namespace, with some of its manifests."""
        wanted = chapters.find(chapter)
        self.namespaces.append(wanted.namespace)
        # The test before may have had the same one, and namespaces take their time to go.
        self.cluster.kubectl("wait", "--for=delete", f"namespace/{wanted.namespace}", "--timeout=90s", timeout=100, check=False)
        self.cluster.kubectl("create", "namespace", wanted.namespace, check=False)
        self.cluster.kubectl("label", "namespace", wanted.namespace, "istio-injection=enabled", "--overwrite")
        for number in files:
            (file,) = (MANIFESTS / wanted.stem).glob(f"{number}-*.yaml")
            resources.apply(self.cluster.connection, file, namespace=wanted.namespace)
        return wanted.namespace

    def ready(self, namespace: str, *deployments: str) -> None:
        resources.wait_for_rollout(self.cluster.connection, namespace, list(deployments), timeout=120.0)
        arrival.wait(self.cluster.connection, namespace)

    def show(self, chapter: str, cell: str, *, tree: str = "lab/tree", drawn: str = ".main-svg") -> Any:
        """Write a notebook that shows one panel, open it, run it; the panel."""
        path = self.folder / f"{chapter}.ipynb"
        cells = [nbformat.v4.new_code_cell(f"from meshcourse import lab\nlab.chapter({chapter!r})\n{cell}")]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
        self.page.set_viewport_size(WIDE)
        self.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
        self.page.goto(f"{self.site}/{tree}/{path.name}")
        self.page.wait_for_function("() => window.jupyterapp && document.querySelector('.jp-CodeCell')", timeout=LIMIT)
        self.page.wait_for_function(CONNECTED, timeout=LIMIT)
        self.run()
        panel = self.page.locator(".mc-panel").first
        try:
            panel.wait_for(state="attached", timeout=LIMIT)
            panel.locator(f"{drawn} >> nth=0").wait_for(state="attached", timeout=LIMIT)
        except Exception:
            self.page.screenshot(path=str(self.artifacts / f"{chapter}-missing.png"))
            raise
        return panel

    def run(self) -> None:
        """Run all cells. While the page puts itself together the command may be lost, or run another notebook: then once more."""
        begun = "() => [...document.querySelectorAll('.jp-InputArea-prompt')].some(each => /\\[(\\*|\\d+)\\]/.test(each.textContent))"
        for _ in range(9):
            self.page.evaluate("() => { const shell = window.jupyterapp.shell; shell.activateById?.(shell.currentWidget.id) }")
            self.command("notebook:run-all-cells")
            with contextlib.suppress(TimeoutError):
                self.page.wait_for_function(begun, timeout=10_000)
                return

    def looks(self, panel: Any, name: str) -> None:
        """Keep pictures in both themes and in a narrow window; say what is wrong in any of them."""
        wrong = []
        for look, theme, size in (
            ("light", "JupyterLab Light", WIDE),
            ("dark", "JupyterLab Dark", WIDE),
            ("narrow", "JupyterLab Light", NARROW),
        ):
            self.command("apputils:change-theme", theme=theme)
            self.page.set_viewport_size(size)
            self.page.evaluate("narrow => { if (narrow) window.jupyterapp.shell.collapseLeft?.() }", size == NARROW)
            self.page.wait_for_function(f"() => document.body.dataset.jpThemeName === '{theme}'")
            self.page.wait_for_timeout(700)  # plotly redraws itself a moment after the window's change
            panel.scroll_into_view_if_needed()
            panel.screenshot(path=str(self.artifacts / f"panel-{name}-{look}.png"))
            wrong += [f"{look}: {each}" for each in panel.evaluate(CROWDED)]
        self.page.set_viewport_size(WIDE)
        assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def shared_desk(
    cluster: Any, page: Any, serve: Callable[..., AbstractContextManager[str]], artifacts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    settings, folder = tmp_path_factory.mktemp("settings"), tmp_path_factory.mktemp("own")
    (settings / "jupyter_server_config.json").write_text(EXPOSED, encoding="utf-8")
    with serve(cluster, folder, {"JUPYTER_CONFIG_PATH": str(settings)}) as url:
        page.goto(url)
        page.wait_for_function("() => window.jupyterapp", timeout=LIMIT)
        yield Desk(page, cluster, "{0.scheme}://{0.netloc}".format(urlsplit(url)), folder, artifacts, [])


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """Each test's namespaces go with it: a Gateway that takes every host would take the next one's requests."""
    yield shared_desk
    while shared_desk.namespaces:
        namespace = shared_desk.namespaces.pop()
        shared_desk.cluster.kubectl("-n", namespace, "delete", "gateway,virtualservice", "--all", check=False)
        shared_desk.cluster.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def data(panel: Any) -> list[dict[str, Any]]:
    """The traces as the page has them: name, x, y."""
    found: list[dict[str, Any]] = panel.locator(".js-plotly-plot").first.evaluate(
        """gd => (gd._fullData || gd.data).map(trace => ({
            name: trace.name, x: Array.from(trace.x || []), y: Array.from(trace.y || []), text: [].concat(trace.text || [])}))"""
    )
    return found


def trace(panel: Any, name: str, *, number: int = 0) -> dict[str, Any]:
    return [each for each in data(panel) if each["name"] == name][number]


def until(page: Any, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Look until it holds."""
    for _ in range(round(seconds * 5)):
        if found := condition():
            return found
        page.wait_for_timeout(200)
    pytest.fail(f"within {seconds:g} s there came no {what}")


def press(panel: Any, name: str, key: str, times: int = 1) -> None:
    """Move a slider by keyboard."""
    handle = panel.locator(f".{name} .noUi-handle").first
    handle.focus()
    for _ in range(times):
        handle.press(key)


def readout(panel: Any, name: str) -> str:
    return str(panel.locator(f".{name} .widget-readout").first.inner_text())


def test_weights_in_notebook_7(desk: Desk) -> None:
    namespace = desk.apply("05-canary", "01", "02", "03", "04", "05")
    desk.ready(namespace, "web-v1", "web-v2")
    panel = desk.show("05-canary", "lab.weight_panel()", tree="notebooks")
    panel.locator(".mc-start").click()
    press(panel, "mc-weight-v2", "PageUp", 3)
    wanted = int(readout(panel, "mc-weight-v2"))
    assert wanted > 10
    seen = until(desk.page, lambda: [y for y in trace(panel, "v2 observed")["y"] if y is not None and abs(y - wanted) < 12][-5:], "share")
    assert len(seen) <= 5
    until(desk.page, lambda: trace(panel, "p95")["y"][-1], "latency")
    desk.looks(panel, "weights")
    panel.locator(".mc-stop").click()
    route = desk.cluster.get("-n", namespace, "virtualservice", "web")["spec"]["http"][0]["route"]
    assert {each["destination"]["subset"]: each["weight"] for each in route} == {"v1": 100 - wanted, "v2": wanted}


def test_topology(desk: Desk) -> None:
    namespace = desk.apply("04-bookinfo", "01", "02")
    desk.ready(namespace, "productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")
    panel = desk.show("04-bookinfo", "lab.topology_panel()")
    names = {"productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3"}
    assert names <= set(trace(panel, "workloads")["text"])
    drawn = panel.locator(".main-svg .scatterlayer .textpoint text").all_text_contents()
    assert names <= set(drawn), "the circles are not painted"
    panel.locator(".mc-topology-start").click()
    until(desk.page, lambda: len(trace(panel, "labels")["text"]) >= 7, "edges with calls")
    desk.looks(panel, "topology")
    panel.locator(".mc-topology-stop").click()


def test_breaker(desk: Desk) -> None:
    namespace = desk.apply("06-circuit-breaking", "01", "02", "03", "05", "07")
    desk.ready(namespace, "httpbin", "fortio-deploy", "httpbin-faulty")
    panel = desk.show("06-circuit-breaking", "lab.breaker_panel(callers=8)")
    panel.locator(".mc-start").click()
    for slider in ("mc-breaker-connections", "mc-breaker-waiting"):
        press(panel, slider, "Home")
        press(panel, slider, "ArrowRight")
    until(desk.page, lambda: any(trace(panel, "over the limit")["y"]), "refused requests, as callers saw them")
    until(desk.page, lambda: any(trace(panel, "over the limit", number=1)["y"]), "refused requests, as Envoy counted them")
    until(desk.page, lambda: trace(panel, "in")["x"], "endpoint")
    press(panel, "mc-breaker-errors", "ArrowRight", 3)
    until(desk.page, lambda: trace(panel, "put out")["x"], "endpoint that was put out")
    panel.locator(".mc-stop").click()


@AT_LEISURE
def test_timeout(desk: Desk) -> None:
    namespace = desk.apply("07-timeouts", "01", "02", "03", "04")
    desk.ready(namespace, "nginx", "tomcat")
    into = ("-n", namespace, "exec", "-i", "deploy/nginx", "-c", "nginx", "--")
    desk.cluster.kubectl(*into, "tee", "/etc/nginx/conf.d/default.conf", stdin=(MANIFESTS / "07_timeouts" / "nginx.conf").read_text())
    desk.cluster.kubectl(*into, "nginx", "-s", "reload")
    panel = desk.show("07-timeouts", "lab.timeout_panel(delay=1.5)")
    panel.locator(".mc-send").click()
    until(desk.page, lambda: len(trace(panel, "hops")["y"]) == 5, "waterfall of five rows")
    press(panel, "mc-delay", "Home")
    panel.locator(".mc-repeat").click()
    until(desk.page, lambda: len(trace(panel, "you waited")["y"]) >= 3, "three requests")
    panel.locator(".mc-repeat").click()
    waited = trace(panel, "you waited")["y"]
    assert waited[0] > waited[-1]
    until(desk.page, lambda: len(trace(panel, "hops")["y"]) == 5, "waterfall of five rows")
    desk.looks(panel, "timeout")


@AT_LEISURE
def test_retries(desk: Desk) -> None:
    namespace = desk.apply("08-faults-retries", "02", "09", "10")
    desk.ready(namespace, "front", "middle", "back")
    panel = desk.show("08-faults-retries", "lab.retry_panel()")
    press(panel, "mc-fault", "PageUp", 4)
    fault = int(readout(panel, "mc-fault"))
    assert fault > 0
    panel.locator(".mc-start").click()
    until(desk.page, lambda: [y for y in trace(panel, "succeeded observed")["y"] if y is not None], "share of success")
    until(desk.page, lambda: "predicted" in panel.locator(".mc-formula").inner_text(), "prediction")
    desk.looks(panel, "retries")
    panel.locator(".mc-stop").click()


def test_faults(desk: Desk) -> None:
    namespace = desk.apply("08-faults-retries", "01", "02", "03")
    desk.ready(namespace, "nginx", "tomcat")
    panel = desk.show("08-faults-retries", "lab.fault_panel()")
    panel.locator(".mc-who button:has-text('only')").click()
    panel.locator(".mc-start").click()
    until(desk.page, lambda: any(trace(panel, "aborted observed")["y"]), "aborted request")
    until(desk.page, lambda: trace(panel, "aborted observed", number=1)["y"][-1:] == [0], "request without the header that is let through")
    desk.looks(panel, "faults")
    panel.locator(".mc-stop").click()


@AT_LEISURE
def test_objectives(desk: Desk) -> None:
    namespace = desk.apply("10-capstone", "01", "02", "03")
    desk.ready(namespace, "checkout-v1", "checkout-v2-a", "checkout-v2-b")
    panel = desk.show("10-capstone", "lab.objective_panel()")
    panel.locator(".mc-start").focus()
    desk.page.keyboard.press("Enter")
    until(desk.page, lambda: "✘" in panel.locator(".mc-board").inner_text(), "missed objective")
    desk.looks(panel, "objectives")
    panel.locator(".mc-stop").click()


@AT_LEISURE
def test_pushes(desk: Desk) -> None:
    namespace = desk.apply("01-components", "01", "02")
    desk.ready(namespace, "client", "web")
    panel = desk.show("01-components", 'lab.push_panel("web")')
    panel.locator(".mc-push-five").click()
    until(desk.page, lambda: [len([y for y in each["y"] if y]) for each in data(panel)[1:]] == [5, 5], "five orders at two Envoys")
    desk.looks(panel, "pushes")


@AT_LEISURE
def test_tables(desk: Desk) -> None:
    desk.namespaces.extend(["injection", *(f"injection-trial-{name}" for name in ("plain", "enabled", "disabled", "revision"))])
    panel = desk.show("03-injection", "lab.injection_panel()", drawn="table")
    panel.locator(".mc-prove-all").click()
    until(desk.page, lambda: panel.locator(".mc-table td:has-text('?')").count() == 0, "twelve proofs")
    desk.looks(panel, "injection")


@AT_LEISURE
def test_inspector(desk: Desk) -> None:
    namespace = desk.apply("05-canary", "01", "02", "03", "05", "08")
    desk.ready(namespace, "web-v1", "web-v2")
    panel = desk.show("05-canary", "lab.inspector_panel()", drawn=".mc-said")
    panel.locator(".mc-send").focus()
    desk.page.keyboard.press("Enter")
    until(desk.page, lambda: "there is no header x-team" in panel.locator(".mc-routes").inner_text(), "route that was passed over")
    panel.locator(".mc-headers textarea").fill("x-team: internal")
    panel.locator(".mc-send").click()
    until(desk.page, lambda: "web-v2" in panel.locator(".mc-hops").inner_text(), "pod of v2")
    desk.looks(panel, "inspector")
