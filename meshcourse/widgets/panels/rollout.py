"""The rollout panel: the weight panel, moved by a rollout rule instead of by hand.

It starts with all requests at the old version. At each step it writes the weight, waits until the mesh has it, watches the new version's
answers, and continues or rolls back. `halt` stops at the present weight. `deployment` is the Deployment of the new version, which a switch
scales to 0 to simulate a bad release. For code, besides the weight panel's calls: `begin`, `halt`, `back`, `wait_done`, `steps`.
"""

from __future__ import annotations

import asyncio
import html
import time
from dataclasses import replace
from typing import Any, Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube import replicas
from meshcourse.kube.connection import Connection
from meshcourse.measure.destinations import Sent
from meshcourse.traffic.results import Result
from meshcourse.widgets.figures import rollout as picture
from meshcourse.widgets.models import rollout
from meshcourse.widgets.models import weights as redistribution
from meshcourse.widgets.models.rollout import Evidence, Plan, Step, Verdict
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import PATIENCE
from meshcourse.widgets.panels.weight_controls import Controls
from meshcourse.widgets.panels.weights import WeightPanel

LOOK: Final = 0.25
SINCE: Final = 3.0
"""Seconds over which the new version's answers are judged after the end."""


class RolloutPanel(WeightPanel):
    """A weight panel that moves automatically."""

    def __init__(
        self,
        connection: Connection,
        *,
        version: str = "v2",
        plan: Plan | None = None,
        deployment: str = "",
        **more: Any,  # noqa: ANN401 - the weight panel's
    ) -> None:
        self._version, self._plan, self._deployment = version, plan or Plan(), deployment
        super().__init__(connection, **more)
        self._steps: list[Step] = []
        self._rolling: asyncio.Task[None] | None = None
        self._evidence: Evidence | None = None
        self._since: list[tuple[float, Evidence]] = []
        self._pods = self._setting(read=self._read_pods, write=self._write_pods, show=self._show_pods, of="the new version's pods")

    def _build(self) -> Controls:
        built = super()._build()
        if self._version not in built.sliders:
            raise errors.PanelError(
                f"There is no version {self._version} to roll out.",
                why=f"the route has {', '.join(built.sliders)}",
                next="name one of them",
            )
        self.go = parts.button("Begin rollout", "mc-rollout", tooltip="step, watch, continue or roll back", style="success")
        self.stay = parts.button("Halt", "mc-halt", tooltip="stop at this weight")
        self.old = parts.button("Back to the old version", "mc-back", tooltip="end the rollout; all requests to the old version")
        self.broken = ipywidgets.Checkbox(description=f"remove the pods of {self._version}", indent=False)
        self.broken.add_class("mc-break")
        self.broken.layout.width = "auto"
        self.go.on_click(lambda _: self._later(self._begin()))
        self.stay.on_click(lambda _: self._later(self._halt()))
        self.old.on_click(lambda _: self._later(self._back()))
        self.broken.observe(lambda change: self._break(bool(change["new"])), names="value")
        self.log, self.state = parts.words("mc-rollout-log"), parts.words("mc-rollout-state")
        with self._quietly():
            self._show_pods(self._pods.load())
        self._show_state()
        heading, *rest = built.box.children
        buttons = parts.row(self.go, self.stay, self.old, self.broken)
        built.box.children = (heading, buttons, self.state, self.log, *rest)
        built.box.add_class("mc-rollout-panel")
        return replace(built, more=(self.go, self.stay, self.old, self.broken))

    async def _beat(self) -> None:
        await super()._beat()
        self._show_state()

    async def _leave(self) -> None:
        await self._halt()
        await super()._leave()

    # -- for code --------------------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the load, if none runs, and the rollout from its first step."""
        self._wait(self._begin())

    def halt(self) -> None:
        """Stop the rollout at the present weight; the load continues."""
        self._wait(self._halt())

    def back(self) -> None:
        """End the rollout and send all requests to the old version."""
        self._wait(self._back(), within=4 * PATIENCE)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps so far; the last one may still be running."""
        return tuple(self._steps)

    def wait_done(self, within: float = 120.0) -> tuple[Step, ...]:
        """Wait until the rollout is promoted or rolled back; returns the steps.

        Raises PanelError when it is not over in `within` seconds.
        """
        return self._until(
            lambda _: self.steps if self._steps and (self._rolling is None or self._rolling.done()) else None,
            within,
            what="The rollout is not over",
            why=lambda now: now.error or picture.describe(self._plan, self._steps),
            next="panel.steps",
        )

    # -- the new version's pods --------------------------------------------------------------------------------------------------------

    def _break(self, away: bool) -> None:  # noqa: FBT001 - a switch
        if self._by_hand():
            self._pods.offer(0 if away else 1)

    def _read_pods(self) -> int | None:
        """None where there is no Deployment to scale to 0."""
        return replicas.read(self._connection, self._where[0], self._deployment) if self._deployment else None

    def _write_pods(self, _: int | None, wanted: int | None) -> int | None:
        replicas.write(self._connection, self._where[0], self._deployment, wanted or 0)
        return wanted

    def _show_pods(self, pods: int | None) -> None:
        self.broken.value = pods == 0
        self.broken.disabled = self._closed or pods is None

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._rolling is None or self._rolling.done():
            await self._start()
            self._steps, self._since, self._evidence = [], [], None
            self._rolling = asyncio.create_task(self._shown(self._roll()))

    async def _halt(self) -> None:
        await self._end(self._rolling)

    async def _back(self) -> None:
        await self._halt()
        self._since = []
        await self._move(0)

    async def _move(self, weight: int) -> None:
        """Write the new version's weight, and wait until the gateway holds it."""
        now = redistribution.split(redistribution.WHOLE, self._split.held.weights)
        await self._split.set(self._split.held.weighing(redistribution.moved(now, self._version, weight)))
        await self._in_force.wait()

    async def _roll(self) -> None:
        self.go.disabled = True
        try:
            await self._move(0)
            for weight in self._plan.steps:
                await self._move(weight)
                step = await self._watch(weight)
                if step.verdict is Verdict.ROLL_BACK:
                    await self._move(0)
                    return
        finally:
            self.go.disabled = self._closed
            self._evidence = None
            self._show_state()

    async def _watch(self, weight: int) -> Step:
        """Watch one weight until there is a verdict."""
        began, number = time.monotonic(), len(self._steps)
        self._evidence = seen = Evidence(self._version, time.time())
        while True:
            await asyncio.sleep(LOOK)
            step = rollout.judged(self._plan, weight, seen.failed, seen.latency, time.monotonic() - began)
            self._steps[number:] = [step]
            self._show_state()
            if step.verdict is not Verdict.WATCH:
                return step

    def _done(self) -> bool:
        """Whether the new version has been promoted to the end."""
        return len(self._steps) == len(self._plan.steps) and self._steps[-1].verdict is Verdict.PROMOTE

    def _watching(self) -> list[Evidence]:
        """The Evidence to which each result is added. After the end there are two: the older is judged, then the younger replaces it."""
        if self._evidence is not None:
            return [self._evidence]
        if not self._done():
            return []
        now = time.monotonic()
        if not self._since or now - self._since[-1][0] > SINCE:
            self._since = [*self._since, (now, Evidence(self._version, time.time()))][-2:]
        return [each for _, each in self._since]

    def _add_result(self, result: Result) -> None:
        super()._add_result(result)
        for each in self._watching():
            each.add(result)

    async def _count(self) -> None:
        counted = [(each, each.failures) for each in self._watching()]
        came = await self._came()
        if came is not None:
            ours = came.get(self._version, Sent())
            others = sum(sent.errors for name, sent in came.items() if name != self._version)
            for each, failures in counted:
                each.sent(failures, ours.requests, ours.errors, others)

    def _show_state(self) -> None:
        since = self._since[0][1].failed if self._since else None
        self.log.value = picture.table(self._plan, self._steps)
        warning = picture.fails(self._plan, since)
        self.state.value = html.escape(picture.describe(self._plan, self._steps, since)) + parts.complaint(warning)
