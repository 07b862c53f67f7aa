"""The board of service-level objectives: a given load, and live whether the release holds what it must.

The board changes nothing in the mesh: saving the release is the learner's work.
"""

from __future__ import annotations

import asyncio
import html
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import proxy_counters
from meshcourse.measure.objectives import Mark, Objectives
from meshcourse.measure.windows import Summary
from meshcourse.traffic.results import Counts
from meshcourse.traffic.targets import Target
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import objectives as picture
from meshcourse.widgets.load import Load
from meshcourse.widgets.models.objectives import Arrivals, Score, Scoring
from meshcourse.widgets.panels import controls
from meshcourse.widgets.panels.panel import Panel, Widget

LOOK: Final = 1.0
"""Seconds between looks at the pods' counters."""
HEADER: Final = "x-version"


@dataclass(frozen=True)
class Snapshot:
    """The board at one moment."""

    running: bool
    counts: Counts
    summary: Summary
    marks: tuple[Mark, ...]
    score: Score
    error: str


class ObjectivePanel(Panel):
    """A live board. `labels` are those that the release's pods carry, `host` is whom the load asks for."""

    def __init__(
        self,
        connection: Connection,
        *,
        namespace: str,
        host: str,
        labels: Mapping[str, str],
        wanted: Objectives | None = None,
        path: str = "/",
    ) -> None:
        self._connection, self._namespace, self._labels = connection, namespace, dict(labels)
        self._wanted = wanted or Objectives()
        super().__init__(str(connection.kubeconfig), namespace, host)
        self._versions: Counter[str] = Counter()
        target = Target(connection.ingress_url + path, host=host)
        self._load = Load(target, self._label, window=self._wanted.seconds, changed=self._show_running, failed=self._complain)
        self._load.dial.turn(self._wanted.rate)
        self._scoring = Scoring(self._wanted)
        self._looked = 0.0
        self._looking: asyncio.Task[None] | None = None

    def _label(self, status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG002 - a Labeller
        found = headers.get(HEADER, "")
        self._versions[found] += 1
        return found

    # -- what it is made of --------------------------------------------------------------------------------------------------------------

    def _build(self) -> tuple[Widget, Widget]:
        self.begin = controls.button("Start load", "mc-start", tooltip="Send the given load", style="success")
        self.end = controls.button("Stop load", "mc-stop", tooltip="Stop sending")
        self.end.disabled = True
        self.board, self.score = controls.words("mc-board"), controls.words("mc-score")
        self.numbers, alert, self.alt = controls.words("mc-numbers"), controls.words("mc-error"), controls.words("mc-alt")
        self.figure = live_figure.made(picture.figure(self._scoring.view()))
        self._show(Counts(), Summary(self._wanted.seconds), self._scoring.score(0.0))
        self.begin.on_click(lambda _: self._later(self._load.start()))
        self.end.on_click(lambda _: self._later(self._load.stop()))
        rule = f"{self._wanted.rate:.0f} requests a second; judged over the last {self._wanted.requests}"
        heading = ipywidgets.HTML(f"<b>Objectives of {html.escape(self._load.target.host)}</b>: {rule}")
        row = ipywidgets.HBox([self.begin, self.end], layout=ipywidgets.Layout(flex_flow="row wrap"))
        box = ipywidgets.VBox(
            [heading, row, self.score, self.board, self.numbers, alert, self.figure, self.alt],
            layout=controls.whole(),
        )
        box.add_class("mc-objective-panel")
        return box, alert

    def _inputs(self) -> tuple[Widget, ...]:
        return (self.begin, self.end)

    # -- what a notebook or a test calls ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Send the given load until `stop`."""
        self._wait(self._load.start())

    def stop(self) -> None:
        """End the load and wait until its sockets are closed."""
        self._wait(self._load.stop())

    def wait_counted(self, within: float = 30.0) -> Snapshot:
        """Wait until the board judges over as many requests as the objectives ask for, load on the release included."""
        return self._until(
            lambda now: now.score.whole and now.marks[-1].met is not None, within, "The board has not counted enough requests"
        )

    def wait_met(self, *, held: float = 1.0, within: float = 60.0) -> Snapshot:
        """Wait until all objectives have been met for `held` seconds. Raises PanelError, naming those that are not."""
        return self._until(
            lambda now: now.score.met == now.score.of and now.score.held >= held, within, f"The objectives were not all met for {held:g} s"
        )

    def snapshot(self) -> Snapshot:
        """The board now."""
        return self._wait(self._snapshot())

    @property
    def running(self) -> bool:
        """Whether load is being sent."""
        return self._load.running

    def _until(self, condition: Callable[[Snapshot], bool], within: float, what: str) -> Snapshot:
        ends = time.monotonic() + within
        while True:
            now = self.snapshot()
            if condition(now):
                return now
            if time.monotonic() > ends:
                open_ones = [f"{mark.title}: {mark.seen}, wanted {mark.wanted}" for mark in now.marks if mark.met is not True]
                why = "; ".join(open_ones) or now.error or str(now.score)
                following = "panel.snapshot()" if now.running else "panel.start()    # no load is running"
                raise errors.PanelError(f"{what} within {within:g} s.", why=why, next=following)
            time.sleep(0.1)

    # -- on the background loop ------------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        now = time.monotonic()
        if self._load.running and now - self._looked > LOOK and (self._looking is None or self._looking.done()):
            self._looked = now
            self._looking = asyncio.create_task(self._shown(self._look(), of="the proxies"))
        if self._load.running:
            counts, summary = self._load.look()
            score = self._scoring.add(self._now(), summary)
            await asyncio.to_thread(self._show, counts, summary, score)

    async def _look(self) -> None:
        """Ask the release's sidecars what has arrived; what users have sent it is what v1 has not answered."""
        asked = sum(self._versions.values()) - sum(
            count for name, count in self._versions.items() if name not in {"", self._wanted.version}
        )
        sample = await asyncio.to_thread(proxy_counters.read, self._connection, self._namespace)
        ours = [member for member in sample.members if self._labels.items() <= member.labels.items()]
        self._scoring.arrived(Arrivals(self._now(), asked, sum(member.counts.inbound.begun for member in ours)))

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        return Snapshot(self.running, counts, summary, self._scoring.view().marks, self._scoring.score(self._now()), self._error)

    async def _leave(self) -> None:
        await self._load.stop()
        await self._end(self._looking)

    # -- showing; from any thread ----------------------------------------------------------------------------------------------------------

    def _show(self, counts: Counts, summary: Summary, score: Score) -> None:
        view = self._scoring.view()
        picture.update(self.figure, view)
        self.board.value = table(view.marks)
        self.score.value = f"<b>{html.escape(str(score))}</b>"
        self.numbers.value = controls.count(counts, summary)
        self.alt.value = controls.caption(picture.describe(view))

    def _show_running(self, running: bool) -> None:  # noqa: FBT001 - Load calls it
        if running:
            self._complain(None)
            self._versions.clear()
            self._scoring.gap(self._now())
        self.begin.disabled = running or self._closed
        self.end.disabled = not running


def table(marks: tuple[Mark, ...]) -> str:
    """The objectives as rows: sign, title, what is seen, what is wanted."""
    rows = "".join(
        f"<tr><td>{picture.SIGNS[mark.met]}</td><td>{html.escape(mark.title)}</td><td>{html.escape(mark.seen)}</td>"
        f"<td>{html.escape(mark.wanted)}</td></tr>"
        for mark in marks
    )
    style = "border-spacing:14px 1px;margin-left:-14px;color:inherit;font-size:inherit;text-align:left"
    return f'<table style="{style}"><tr><th></th><th>objective</th><th>now</th><th>wanted</th></tr>{rows}</table>'
