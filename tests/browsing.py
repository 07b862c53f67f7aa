"""A browser before a running JupyterLab or Notebook 7: how the tests of what a learner sees drive it, and the benchmark of painting.

One server serves both; which of them opens a notebook is said by its URL.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import psutil
from playwright.sync_api import TimeoutError, sync_playwright  # noqa: A004 - Playwright's own
from real_cluster import RealCluster
from waiting import until

from meshcourse.course import chapters
from meshcourse.kube import resources
from meshcourse.mesh import propagation

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MANIFESTS = Path(__file__).parents[1] / "notebooks" / "manifests"
FRONTS = {"lab": "lab/tree", "notebook7": "notebooks"}
"""What may open a notebook, by the path of its URL."""
CELLS = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell"
WIDE, NARROW = {"width": 1400, "height": 1400}, {"width": 700, "height": 1400}
LIMIT = 90_000
CROWDED = (Path(__file__).parent / "browser" / "crowded.js").read_text(encoding="utf-8")
"""What is wrong with a panel's appearance: an expression in the page."""
EXPOSED = json.dumps({name: {"expose_app_in_browser": True} for name in ("LabApp", "JupyterNotebookApp")})
# A cell that is run before the page is connected to an idle kernel is lost, or asks which kernel to take. JupyterLab first shows the tab
# that was open before, and only then the notebook of the URL.
CONNECTED = """file => {
    const widget = window.jupyterapp?.shell?.currentWidget, context = widget?.sessionContext, kernel = context?.session?.kernel;
    return widget?.context?.path === file && context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def chromium() -> str | None:
    """This machine's Chromium."""
    return next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)


@contextlib.contextmanager
def opened(executable: str, last: Path | None = None) -> Iterator[Any]:
    """An empty page; `last` keeps a picture of it as it was left."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.set_default_timeout(60_000)
        try:
            yield page
        finally:
            if last is not None:
                page.screenshot(path=str(last))
            browser.close()


@contextlib.contextmanager
def serving(cluster: RealCluster, folder: Path, log: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL that `meshcourse lab` prints, serving copies of the course in that folder, without the user's own tabs and settings."""
    own = {"JUPYTER_CONFIG_DIR": str(log.parent / "jupyter")}
    words = [sys.executable, "-m", "meshcourse.cli.main", "lab", "--name", cluster.name, "--folder", str(folder)]
    with log.open("wb") as output:
        server = subprocess.Popen(words, env={**cluster.environment, **own, **(more or {})}, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield printed_url(server, log)
    finally:
        server.terminate()  # as Ctrl-C, which a run in the background may ignore
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def printed_url(server: subprocess.Popen[bytes], log: Path) -> str:
    def find() -> re.Match[str] | None:
        return re.search(r"http://127\.0\.0\.1:\d+/lab\S+", log.read_text())

    until(lambda: find() or server.poll() is not None, 90)
    found = find()
    assert found, f"`meshcourse lab` printed no URL: {log.read_text()}"
    return found[0]


@dataclass(frozen=True)
class Desk:
    """A browser before a running JupyterLab, or Notebook 7: `front` is one of FRONTS."""

    page: Any
    cluster: RealCluster
    site: str
    """`http://127.0.0.1:8888`"""
    folder: Path
    artifacts: Path
    namespaces: list[str] = field(default_factory=list)
    """What a test made, deleted after it."""
    front: str = "lab"

    def command(self, name: str, **arguments: Any) -> None:
        """Run one of the application's own commands; it may be slow to load."""
        self.page.evaluate("([name, given]) => { void window.jupyterapp.commands.execute(name, given) }", [name, arguments])

    def take(self, *namespaces: str) -> None:
        """Create namespaces for the test. The test before may have had the same, and deleting them takes time."""
        self.namespaces.extend(namespaces)
        for name in namespaces:
            self.cluster.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=90s", timeout=100, check=False)

    def apply(self, chapter: str, *files: str) -> str:
        """The chapter's namespace, with some of its manifests."""
        wanted = chapters.find(chapter)
        self.take(wanted.namespace)
        self.cluster.kubectl("create", "namespace", wanted.namespace, check=False)
        self.cluster.kubectl("label", "namespace", wanted.namespace, "istio-injection=enabled", "--overwrite")
        for number in files:
            (file,) = (MANIFESTS / wanted.stem).glob(f"{number}-*.yaml")
            resources.apply(self.cluster.connection, file, namespace=wanted.namespace)
        return wanted.namespace

    def ready(self, namespace: str, *deployments: str) -> None:
        resources.wait_for_rollout(self.cluster.connection, namespace, list(deployments), timeout=120.0)
        propagation.wait(self.cluster.connection, namespace)

    def show(self, chapter: str, *codes: str, drawn: str = ".main-svg") -> Any:
        """Write a notebook whose cells each show one panel, open it, run it; the first one's panel."""
        path = self.folder / f"{chapter}.ipynb"
        first, *rest = codes
        cells = [nbformat.v4.new_code_cell(each) for each in (f"from meshcourse import lab\nlab.chapter({chapter!r})\n{first}", *rest)]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
        self.page.set_viewport_size(WIDE)
        self.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
        self.page.goto(f"{self.site}/{FRONTS[self.front]}/{path.name}")
        self.page.wait_for_function(CONNECTED, arg=path.name, timeout=LIMIT)
        self.run()
        try:
            for number in range(len(codes)):
                self.panel(number).locator(f"{drawn} >> nth=0").wait_for(state="attached", timeout=LIMIT)
        except Exception:
            self.page.screenshot(path=str(self.artifacts / f"{chapter}-missing.png"))
            raise
        return self.panel()

    def panel(self, cell: int = 0) -> Any:
        """The panel that a cell shows."""
        return self.page.locator(CELLS).nth(cell).locator(".mc-panel")

    def at(self, cell: int, command: str) -> None:
        """Run one of the notebook's commands for a cell."""
        self.page.evaluate("cell => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell }", cell)
        self.command(command)

    def run(self) -> None:
        """Run all cells. While the page is loading the command may be lost: then again."""
        here = "window.jupyterapp.shell.currentWidget.node"
        begun = f"() => [...{here}.querySelectorAll('.jp-InputArea-prompt')].some(each => /\\[(\\*|\\d+)\\]/.test(each.textContent))"
        for _ in range(9):
            self.page.evaluate("() => { const shell = window.jupyterapp.shell; shell.activateById?.(shell.currentWidget.id) }")
            self.command("notebook:run-all-cells")
            with contextlib.suppress(TimeoutError):
                self.page.wait_for_function(begun, timeout=10_000)
                return

    def restart(self) -> None:
        """Restart the notebook's kernel as a person does, and wait until the old one has ended, with all that it started."""
        notebook = "window.jupyterapp.shell.currentWidget"
        name = f"kernel-{self.page.evaluate(f'() => {notebook}.sessionContext.session.kernel.id')}.json"
        (kernel,) = [each for each in psutil.process_iter(["cmdline"]) if any(name in word for word in each.info["cmdline"] or ())]
        old = [kernel, *kernel.children(recursive=True)]
        self.command("notebook:restart-kernel")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        left = psutil.wait_procs(old, timeout=30)[1]
        assert not left, f"the kernel has left behind {left}"
        self.page.wait_for_function(CONNECTED, arg=self.page.evaluate(f"() => {notebook}.context.path"), timeout=LIMIT)

    def reload(self) -> None:
        """Save the notebook and load the page anew, while its kernel runs on."""
        path = self.page.evaluate(
            "async () => { const { context } = window.jupyterapp.shell.currentWidget; await context.save(); return context.path }"
        )
        self.page.reload()
        self.page.wait_for_function(CONNECTED, arg=path, timeout=LIMIT)

    def callers(self) -> int:
        """How many connections to the gateway's port are open: those of load clients, in any process."""
        port = urlsplit(self.cluster.ingress_url).port
        return sum(
            bool(each.raddr) and each.raddr.port == port for each in psutil.net_connections("tcp") if each.status == psutil.CONN_ESTABLISHED
        )

    def looks(self, panel: Any, name: str) -> None:
        """Take pictures in both themes and in a narrow window; returns what is wrong in any of them."""
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
            self.page.mouse.move(0, 0)  # no tooltip of where a test clicked
            self.page.wait_for_timeout(700)  # plotly redraws itself a moment after the window's change
            panel.scroll_into_view_if_needed()
            panel.screenshot(path=str(self.artifacts / f"panel-{name}-{self.front}-{look}.png"))
            wrong += [f"{look}: {each}" for each in panel.evaluate(CROWDED)]
        self.page.set_viewport_size(WIDE)
        assert not wrong, "\n".join(wrong)


@contextlib.contextmanager
def desk(cluster: RealCluster, page: Any, scratch: Path, artifacts: Path) -> Iterator[Desk]:
    """The page before a JupyterLab of its own, which lets its commands be called from outside; both keep their files in `scratch`."""
    settings, folder = scratch / "settings", scratch / "own"
    settings.mkdir(parents=True)
    (settings / "jupyter_server_config.json").write_text(EXPOSED, encoding="utf-8")
    with serving(cluster, folder, scratch / "lab.log", {"JUPYTER_CONFIG_PATH": str(settings)}) as url:
        page.goto(url)
        page.wait_for_function("() => window.jupyterapp", timeout=LIMIT)
        yield Desk(page, cluster, "{0.scheme}://{0.netloc}".format(urlsplit(url)), folder, artifacts)
