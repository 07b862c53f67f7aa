"""The rollout panel: the weight panel, moved by a rollout rule instead of by hand.

Besides the calls of the weight panel: `begin`, `halt`, `wait_done`, `steps`. One step after the other it writes the weight, waits until the
mesh has it, watches what users get, and goes on or goes back to the weights from before. `halt` stops where it is.
"""

from __future__ import annotations

import asyncio
import html
import time
from dataclasses import replace
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.widgets.figures import rollout as picture
from meshcourse.widgets.models import rollout, weights
from meshcourse.widgets.models.rollout import Plan, Step, Verdict
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.weight_controls import Controls
from meshcourse.widgets.panels.weights import WeightPanel

PUSH: Final = 0.5
"""Seconds that the mesh may take to follow a weight: what is sent meanwhile is not judged."""
LOOK: Final = 0.25


class RolloutPanel(WeightPanel):
    """A weight panel that moves by itself."""

    def __init__(self, connection: Connection, *, version: str = "v2", plan: Plan | None = None, **more: Any) -> None:  # noqa: ANN401 - the weight panel's
        self._version, self._plan = version, plan or Plan()
        super().__init__(connection, window=self._plan.watch, **more)
        self._steps: list[Step] = []
        self._rolling: asyncio.Task[None] | None = None

    def _build(self) -> Controls:
        built = super()._build()
        if self._version not in built.sliders:
            raise errors.PanelError(
                f"There is no version {self._version} to roll out.",
                why=f"the route has {', '.join(built.sliders)}",
                next="name one of them",
            )
        self.go = parts.button("Begin rollout", "mc-rollout", tooltip="step, watch, go on or go back", style="success")
        self.stay = parts.button("Halt", "mc-halt", tooltip="stay at this weight")
        self.go.on_click(lambda _: self._later(self._begin()))
        self.stay.on_click(lambda _: self._later(self._halt()))
        self.log, self.state = parts.words("mc-rollout-log"), parts.words("mc-rollout-state")
        self._tell()
        heading, *rest = built.box.children
        built.box.children = (heading, parts.row(self.go, self.stay, self.state), self.log, *rest)
        built.box.add_class("mc-rollout-panel")
        return replace(built, more=(self.go, self.stay))

    async def _leave(self) -> None:
        await self._halt()
        await super()._leave()

    # -- by calls ----------------------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the load, if none runs, and the rollout from its first step."""
        self._wait(self._begin())

    def halt(self) -> None:
        """Stop the rollout where it is; the load runs on."""
        self._wait(self._halt())

    @property
    def steps(self) -> tuple[Step, ...]:
        """What has been tried so far; the last one may still be watched."""
        return tuple(self._steps)

    def wait_done(self, within: float = 120.0) -> tuple[Step, ...]:
        """Wait until it is promoted to the end or rolled back; the steps. Raises PanelError when it is not over within `within` seconds."""
        return self._until(
            lambda _: self.steps if self._steps and (self._rolling is None or self._rolling.done()) else None,
            within,
            what="The rollout is not over",
            why=lambda now: now.error or picture.describe(self._plan, self._steps),
            next="panel.steps",
        )

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._rolling is None or self._rolling.done():
            await self._load.start()
            self._steps = []
            self._rolling = asyncio.create_task(self._shown(self._roll()))

    async def _halt(self) -> None:
        await self._end(self._rolling)

    async def _roll(self) -> None:
        before = dict(self._weights.held)
        self.go.disabled = True
        try:
            for weight in self._plan.steps:
                await self._weights.set(weights.moved(before, self._version, weight))
                step = await self._watch(weight)
                if step.verdict is Verdict.ROLL_BACK:
                    await self._weights.set(before)
                    return
        finally:
            self.go.disabled = self._closed
            self._tell()

    async def _watch(self, weight: int) -> Step:
        """Look at one weight until something can be said of it."""
        await asyncio.sleep(PUSH)
        self._load.forget()
        began, number = time.monotonic(), len(self._steps)
        while True:
            _, summary = self._load.look()
            step = rollout.judged(self._plan, weight, summary, time.monotonic() - began)
            self._steps[number:] = [step]
            self._tell()
            if step.verdict is not Verdict.WATCH:
                return step
            await asyncio.sleep(LOOK)

    def _tell(self) -> None:
        self.log.value = picture.table(self._plan, self._steps)
        self.state.value = html.escape(picture.describe(self._plan, self._steps))
