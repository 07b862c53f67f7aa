"""The objective panel: a given load, and live whether the release meets its service-level objectives.

`labels` select the release's pods. The panel changes nothing in the mesh: saving the release is the learner's task. For code: `start`,
`stop`, `wait_counted`, `wait_met`, `snapshot`.
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

from meshcourse.core import tables
from meshcourse.kube.connection import Connection
from meshcourse.measure import proxy_counters
from meshcourse.measure.objectives import Mark, Objectives
from meshcourse.measure.windows import Summary
from meshcourse.traffic.results import Counts
from meshcourse.traffic.targets import Target
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import objectives as picture
from meshcourse.widgets.models.objectives import Arrivals, Score, Scoring
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import LoadedPanel
from meshcourse.widgets.panels.parts import Parts

LOOK: Final = 1.0
"""Seconds between reads of the pods' counters."""
HEADER: Final = "x-version"


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment."""

    running: bool
    counts: Counts
    summary: Summary
    marks: tuple[Mark, ...]
    score: Score
    error: str


class ObjectivePanel(LoadedPanel[Parts, Snapshot]):
    """A live panel. `labels` select the release's pods, `host` is the host of the load's requests."""

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
        self._load = self._add_load(Target(connection.ingress_url + path, host=host), self._label, window=self._wanted.seconds)
        self._turn(self._wanted.rate)
        self._scoring = Scoring(self._wanted)
        self._looked = 0.0
        self._looking: asyncio.Task[None] | None = None

    def _label(self, status: int, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG002 - a Labeller
        found = headers.get(HEADER, "")
        self._versions[found] += 1
        return found

    # -- widgets
    # -----------------------------------------------------------------------------------------------------------------------------

    def _build(self) -> Parts:
        steering = loaded.steering("Send the given load")
        self.board, self.score = parts.words("mc-board"), parts.words("mc-score")
        self.numbers, alert, self.alt = parts.words("mc-numbers"), parts.words("mc-error"), parts.words("mc-alt")
        self.figure = live_figure.made(picture.figure(self._scoring.view()))
        self._show(Counts(), Summary(self._wanted.seconds), self._scoring.score(0.0))
        self._steer(steering)
        rule = f"{self._wanted.rate:.0f} requests a second; judged over the last {self._wanted.requests}"
        heading = ipywidgets.HTML(f"<b>Objectives of {html.escape(self._load.target.host)}</b>: {rule}")
        rows = (heading, parts.row(*steering.inputs()), self.score, self.board, self.numbers, alert, self.figure, self.alt)
        return Parts(parts.boxed("mc-objective-panel", *rows), alert, steering.inputs())

    # -- for notebooks and tests
    # ------------------------------------------------------------------------------------------------------------

    def wait_counted(self, within: float = 30.0) -> Snapshot:
        """Wait until the panel judges over as many requests as the objectives need, with the release's load."""
        return self._come(
            lambda now: now.score.whole and now.marks[-1].met is not None, within, "The panel has not counted enough requests"
        )

    def wait_met(self, *, held: float = 1.0, within: float = 60.0) -> Snapshot:
        """Wait until all objectives have been met for `held` seconds. Raises PanelError, naming those that are not."""
        return self._come(
            lambda now: now.score.met == now.score.of and now.score.held >= held, within, f"The objectives were not all met for {held:g} s"
        )

    def _come(self, condition: Callable[[Snapshot], bool], within: float, what: str) -> Snapshot:
        def why(now: Snapshot) -> str:
            unmet = [f"{mark.title}: {mark.seen}, wanted {mark.wanted}" for mark in now.marks if mark.met is not True]
            return "; ".join(unmet) or now.error or str(now.score)

        return self._until(lambda now: now if condition(now) else None, within, what=what, why=why)

    # -- on the background loop ------------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        now = time.monotonic()
        if self._load.running and now - self._looked > LOOK and (self._looking is None or self._looking.done()):
            self._looked = now
            self._looking = asyncio.create_task(self._shown(self._arrived(), of="the proxies"))
        if self._load.running:
            counts, summary = self._load.look()
            score = self._scoring.add(self._now(), summary)
            await asyncio.to_thread(self._show, counts, summary, score)

    async def _arrived(self) -> None:
        """Ask the release's sidecars for arrivals; users' requests to the release are those that no other version has answered."""
        asked = sum(self._versions.values()) - sum(
            count for name, count in self._versions.items() if name not in {"", self._wanted.version}
        )
        sample = await asyncio.to_thread(proxy_counters.read, self._connection, self._namespace)
        ours = [member for member in sample.members if self._labels.items() <= member.labels.items()]
        if ours and all(member.counted for member in ours):  # else nobody knows how many requests they get
            self._scoring.arrived(Arrivals(self._now(), asked, sum(member.counts.inbound.begun for member in ours)))

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        return Snapshot(self.running, counts, summary, self._scoring.view().marks, self._scoring.score(self._now()), self._error)

    async def _leave(self) -> None:
        await super()._leave()
        await self._end(self._looking)

    # -- showing; from any thread ----------------------------------------------------------------------------------------------------------

    def _show(self, counts: Counts, summary: Summary, score: Score) -> None:
        view = self._scoring.view()
        picture.update(self.figure, view)
        self.board.value = table(view.marks)
        self.score.value = f"<b>{html.escape(str(score))}</b>"
        self.numbers.value = parts.count(counts, summary)
        self.alt.value = parts.aloud(picture.describe(view))

    def _begins(self) -> None:
        self._versions.clear()
        self._scoring.gap(self._now())


def table(marks: tuple[Mark, ...]) -> str:
    """The objectives as rows: sign, title, observed, wanted."""
    rows = [(picture.SIGNS[mark.met], mark.title, mark.seen, mark.wanted) for mark in marks]
    return tables.markup(("", "objective", "now", "wanted"), rows, style=tables.SPACED)
