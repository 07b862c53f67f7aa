"""A learner's way through the chapters, in a real JupyterLab: `make walk`, or `python tests/walk.py --name my-cluster 5 6`.

Every cell is run by Shift+Enter from top to bottom. Each panel is used by mouse and by keyboard, looked at in both themes and at 900 px.
Half way the page is reloaded once and the kernel restarted once. What a learner would stumble over goes into build/walk/report.md, with
pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import browsing
from playwright.sync_api import Error, TimeoutError  # noqa: A004 - Playwright's own
from real_cluster import RealCluster

from meshcourse.authoring import notebooks
from meshcourse.authoring.rehearsal import of
from meshcourse.backends.embedded import Embedded
from meshcourse.cluster import clusters

COURSE: Final = Path(__file__).parents[1] / "notebooks"
OUT: Final = Path(__file__).parents[1] / "build" / "walk"
SLOW: Final = 10.0
"""Seconds that a cell may take before a learner asks whether something is wrong."""
LONGEST: Final = 240.0
NARROW: Final = {"width": 900, "height": 1000}
NOTEBOOK: Final = "window.jupyterapp.shell.currentWidget"
STARTS: Final = re.compile(r"Start load|Send one request|Begin rollout|Prove all|Push five|Compare|Ask", re.IGNORECASE)
AGAIN: Final = "from an earlier run"
"""What a chapter's first cell says of the objects that the cells before the restart made: so it should."""
QUIET: Final = ("favicon", "net::ERR_ABORTED", "Failed to load resource: the server responded with a status of 404")
"""Console errors that no learner sees: they come from the browser itself."""
STATE: Final = f"""index => {{
    const model = {NOTEBOOK}.content.widgets[index].model;
    return {{type: model.type, count: model.executionCount ?? null, state: model.executionState ?? 'idle',
             source: model.sharedModel.getSource(), outputs: model.type === 'code' ? model.outputs.toJSON() : []}};
}}"""
CLEARED: Final = (
    f"index => {{ const model = {NOTEBOOK}.content.widgets[index].model; if (model.type === 'code') model.executionCount = null }}"
)
"""The first cell has the number 1 again after a restart: only without the old number is it seen that it has run."""
DONE: Final = f"""index => {{
    const model = {NOTEBOOK}.content.widgets[index].model;
    return model.executionCount !== null && (model.executionState ?? 'idle') === 'idle';
}}"""
CLIPPED: Final = """node => [...node.querySelectorAll('.jp-OutputArea-output, .jp-RenderedHTMLCommon, img, svg')].flatMap(part => {
    const place = part.getBoundingClientRect(), room = node.getBoundingClientRect();
    const wide = place.width && place.right > room.right + 2 && getComputedStyle(part.parentElement).overflowX === 'visible';
    const cut = part.scrollWidth > part.clientWidth + 2 && part.clientWidth && getComputedStyle(part).overflowX === 'hidden';
    return wide || cut ? [`${part.className || part.tagName}: ${part.scrollWidth} px of content in ${part.clientWidth}`] : [];
})"""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A problem that a learner would meet; `cell` is its index in the notebook."""

    chapter: str
    cell: int
    kind: str
    text: str


@dataclasses.dataclass
class Walk:
    """One chapter being walked through."""

    desk: browsing.Desk
    stem: str
    findings: list[Finding] = dataclasses.field(default_factory=list)
    cell: int = 0

    def find(self, kind: str, text: str) -> None:
        self.findings.append(Finding(self.stem, self.cell, kind, " ".join(text.split())[:300]))

    def picture(self, name: str) -> None:
        with contextlib.suppress(Error):
            self.desk.page.screenshot(path=str(OUT / f"{self.stem}-{self.cell:02d}-{name}.png"))

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Every error on the page during this block is a finding."""

        def said(message: Any) -> None:
            if message.type == "error" and not any(each in message.text for each in QUIET):
                self.find("console", message.text)

        def threw(error: Any) -> None:
            self.find("console", str(error))

        self.desk.page.on("console", said)
        self.desk.page.on("pageerror", threw)
        try:
            yield
        finally:
            self.desk.page.remove_listener("console", said)
            self.desk.page.remove_listener("pageerror", threw)

    def open(self) -> int:
        """Open the notebook; how many cells it has."""
        page, file = self.desk.page, f"{self.stem}.ipynb"
        page.set_viewport_size(browsing.WIDE)
        # Without the tabs of the chapters before: their kernels have ended, and their panels would be errors of this one.
        page.goto(f"{self.desk.site}/lab/tree/{file}?reset")
        page.wait_for_function(browsing.CONNECTED, arg=file, timeout=browsing.LIMIT)
        page.evaluate(
            f"() => {{ {NOTEBOOK}.content.activeCellIndex = 0; {NOTEBOOK}.content.mode = 'command'; {NOTEBOOK}.content.node.focus() }}"
        )
        return int(page.evaluate(f"() => {NOTEBOOK}.content.widgets.length"))

    def run(self, index: int) -> None:
        """Run one cell by Shift+Enter, and look at what it shows."""
        page, self.cell = self.desk.page, index
        page.evaluate(f"index => {{ {NOTEBOOK}.content.activeCellIndex = index; {NOTEBOOK}.content.mode = 'command' }}", index)
        page.evaluate(
            f"() => {NOTEBOOK}.content.activeCell.node.querySelector('.jp-InputPrompt, .jp-Cell')?.scrollIntoView?.({{block: 'center'}})"
        )
        before = page.evaluate(STATE, index)
        page.evaluate(CLEARED, index)
        page.evaluate(f"() => {NOTEBOOK}.content.node.focus()")
        started = time.monotonic()
        page.keyboard.press("Shift+Enter")
        if before["type"] != "code":
            return
        try:
            page.wait_for_function(DONE, arg=index, timeout=LONGEST * 1000)
        except TimeoutError:
            self.find("never ended", before["source"])
            self.picture("never-ended")
            return
        took = time.monotonic() - started
        if took > SLOW:
            self.find("slow", f"{took:.0f} s: {before['source']}")
        self.judge(page.evaluate(STATE, index))
        self.look(index)

    def judge(self, found: dict[str, Any]) -> None:
        """Errors, text on stderr and warnings among a cell's outputs."""
        for output in found["outputs"]:
            text = "".join(output.get("text", ""))
            if output["output_type"] == "error":
                self.find("traceback", f"{output['ename']}: {output['evalue']} <- {found['source']}")
                self.picture("error")
            elif output.get("name") == "stderr":
                self.find("stderr", text)
            elif re.search(r"Traceback|Warning:|DeprecationWarning|model not found", text):
                self.find("warning", text)
            for line in text.splitlines():
                if line.startswith(("! ", "✘")):
                    self.find("says", line)

    def look(self, index: int) -> None:
        """Use and check a panel, if the cell shows one; find what is cut off in any output."""
        node = self.desk.page.evaluate_handle(f"index => {NOTEBOOK}.content.widgets[index].node", index).as_element()
        if node is None or not node.is_visible():
            return
        for each in node.evaluate(CLIPPED):
            self.find("cut off", each)
        if panel := node.query_selector(".mc-panel"):
            self.use(panel)

    def use(self, panel: Any) -> None:
        """A panel by mouse, then by keyboard, then in the other theme and in a narrow window."""
        page = self.desk.page
        panel.scroll_into_view_if_needed()
        starts = [each for each in panel.query_selector_all("button") if STARTS.search(each.inner_text()) and each.is_enabled()]
        if starts:
            starts[0].click()
            page.wait_for_timeout(3000)
        for handle in panel.query_selector_all(".noUi-handle, [role=slider]")[:1]:
            before = handle.get_attribute("aria-valuenow")
            handle.focus()
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(1500)
            if handle.get_attribute("aria-valuenow") == before:
                handle.focus()
                page.keyboard.press("ArrowLeft")
                page.wait_for_timeout(1500)
                if handle.get_attribute("aria-valuenow") == before:
                    self.find("keyboard", f"a slider stays at {before} for both arrow keys")
        for theme, size in (("JupyterLab Light", browsing.WIDE), ("JupyterLab Dark", browsing.WIDE), ("JupyterLab Light", NARROW)):
            self.desk.command("apputils:change-theme", theme=theme)
            page.set_viewport_size(size)
            page.wait_for_function(f"() => document.body.dataset.jpThemeName === '{theme}'")
            page.wait_for_timeout(900)
            with contextlib.suppress(Error):
                panel.scroll_into_view_if_needed()
            name = "narrow" if size == NARROW else theme.rpartition(" ")[2].lower()
            for each in panel.evaluate(browsing.CROWDED):
                self.find(f"panel, {name}", each)
            self.picture(f"panel-{name}")
        page.set_viewport_size(browsing.WIDE)
        for words in ("Stop load", "Stop"):
            for each in panel.query_selector_all("button"):
                if each.inner_text().strip() == words and each.is_visible() and each.is_enabled():
                    each.click()
                    page.wait_for_timeout(300)
        if re.search(r"\w*Error:|\bError\b", panel.inner_text()):
            self.find("panel", panel.inner_text())

    def reload(self) -> None:
        """Reload the page, as a learner does when something looks odd: its content must be there again, or a text that says what to do."""
        page = self.desk.page
        self.desk.command("docmanager:save")
        page.wait_for_timeout(1500)
        page.reload()
        page.wait_for_function(browsing.CONNECTED, arg=f"{self.stem}.ipynb", timeout=browsing.LIMIT)
        page.wait_for_timeout(3000)
        if page.locator(".jp-OutputArea").get_by_text("model not found").count():
            self.find("reload", "a panel is gone: model not found")
            self.picture("reload")

    def restart(self) -> None:
        """Restart the kernel, and run the first cell again, as chapter 0 tells to."""
        self.desk.restart()
        first = next(index for index in range(20) if self.desk.page.evaluate(STATE, index)["type"] == "code")
        before = len(self.findings)
        self.run(first)
        kept = [each for each in self.findings[before:] if AGAIN not in each.text]
        self.findings[before:] = kept

    def terminal(self, namespace: str) -> None:
        """A new terminal uses the chapter's namespace, and its prompt shows it."""
        page = self.desk.page
        self.desk.command("terminal:create-new")
        page.locator(".jp-Terminal .xterm-screen").last.wait_for(timeout=20_000)
        page.wait_for_timeout(2500)
        page.keyboard.type("kubectl config view --minify -o jsonpath='{..namespace}'; echo; istioctl version --remote=false\n")
        page.wait_for_timeout(4000)
        self.picture("terminal")
        shown = page.evaluate(
            "() => [...document.querySelectorAll('.jp-Terminal .xterm-rows > div')].map(row => row.textContent).join('\\n')"
        )
        for wanted in (f"({namespace})", "client version"):
            if wanted not in shown and shown.strip():
                self.find("terminal", f"no {wanted} in: {shown}")
        self.desk.command("application:close")
        page.wait_for_timeout(500)


def chapter(desk: browsing.Desk, stem: str) -> tuple[list[Finding], float]:
    """Walk through one chapter."""
    walk, started = Walk(desk, stem), time.monotonic()
    with walk.listening():
        count = walk.open()
        for index in range(count):
            print(f"\r{stem}: cell {index + 1} of {count}", end="", flush=True)  # noqa: T201 - a command's words
            walk.run(index)
            if index == count // 3:
                walk.reload()
            elif index == count // 2:
                walk.restart()
        walk.terminal(of(stem).namespace)
    desk.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    return walk.findings, time.monotonic() - started


def report(found: dict[str, tuple[list[Finding], float]]) -> str:
    """What was found, as Markdown."""
    lines = ["# A learner's way", "", "| chapter | minutes | findings |", "|---|---|---|"]
    lines += [f"| {stem} | {seconds / 60:.1f} | {len(findings)} |" for stem, (findings, seconds) in found.items()]
    for stem, (findings, _) in found.items():
        if findings:
            lines += ["", f"## {stem}", "", "| cell | kind | what |", "|---|---|---|"]
            lines += [f"| {each.cell} | {each.kind} | {each.text.replace('|', '¦')} |" for each in findings]
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> int:
    """Walk, write the report; 1 when anything was found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--name", default="walk", help="a running cluster; `walk` is started, and stopped at the end")
    options.add_argument("chapters", nargs="*", help="such as 5 or 05_canary; all without one")
    given = options.parse_args(words)
    chromium = browsing.chromium()
    if chromium is None:
        print("There is no Chromium on PATH. Next: sudo apt install chromium", file=sys.stderr)  # noqa: T201 - a command's words
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    own = clusters.find(given.name) is None
    cluster = Embedded(given.name, 0, 0)
    cluster.up(lambda _: None)
    found: dict[str, tuple[list[Finding], float]] = {}
    try:
        with (
            tempfile.TemporaryDirectory() as scratch,
            browsing.opened(chromium) as page,
            browsing.desk(RealCluster.of(clusters.get(given.name)), page, Path(scratch), OUT) as desk,
        ):
            for path in notebooks.chosen(COURSE / "source", "py", given.chapters):
                found[path.stem] = chapter(desk, path.stem)
                (OUT / "report.md").write_text(report(found), encoding="utf-8")
                print(f"\r{path.stem}: {len(found[path.stem][0])} findings in {found[path.stem][1]:.0f} s", flush=True)  # noqa: T201
    finally:
        if own:
            cluster.down()
    print(f"{OUT / 'report.md'}")  # noqa: T201 - a command's words
    return int(any(findings for findings, _ in found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
