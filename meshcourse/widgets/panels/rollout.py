"""The rollout panel: the weight panel, with somebody else at the slider.

One step after the other it writes the weight, waits until the mesh has it, watches what users get, and goes on or goes back to the weights
from before. `halt` stops where it is.
"""

from __future__ import annotations

import asyncio
import html
import time
from typing import Any, Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.widgets.figures import rollout as picture
from meshcourse.widgets.models import rollout, weights
from meshcourse.widgets.models.rollout import Plan, Step, Verdict
from meshcourse.widgets.panels import controls
from meshcourse.widgets.panels.weights import WeightPanel

PUSH: Final = 0.5
"""Seconds that the mesh may take to follow a weight: what is sent meanwhile is not judged."""
LOOK: Final = 0.25
EACH: Final = 30.0


class RolloutPanel(WeightPanel):
    """A weight panel that moves by itself."""

    def __init__(self, connection: Connection, *, version: str = "v2", plan: Plan | None = None, **more: Any) -> None:  # noqa: ANN401 - the weight panel's
        self._version, self._plan = version, plan or Plan()
        super().__init__(connection, window=self._plan.watch, **more)
        self._steps: list[Step] = []
        self._rolling: asyncio.Task[None] | None = None

    def _build(self) -> tuple[Any, Any]:
        box, alert = super()._build()
        if self._version not in self._held:
            raise errors.PanelError(
                f"There is no version {self._version} to roll out.", why=f"the route has {', '.join(self._held)}", next="name one of them"
            )
        self.go = controls.button("Begin rollout", "mc-rollout", tooltip="step, watch, go on or go back", style="success")
        self.stay = controls.button("Halt", "mc-halt", tooltip="stay at this weight")
        self.go.on_click(lambda _: self._later(self._begin()))
        self.stay.on_click(lambda _: self._later(self._halt()))
        self.log, self.state = controls.words("mc-rollout-log"), controls.words("mc-rollout-state")
        self._tell()
        heading, *rest = box.children
        row = ipywidgets.HBox([self.go, self.stay, self.state], layout=ipywidgets.Layout(flex_flow="row wrap"))
        box.children = (heading, row, self.log, *rest)
        box.add_class("mc-rollout-panel")
        return box, alert

    def _inputs(self) -> tuple[Any, ...]:
        return (*super()._inputs(), self.go, self.stay)

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
        ends = time.monotonic() + within
        while not self._over():
            if time.monotonic() > ends:
                why = self._error or picture.describe(self._plan, self._steps)
                raise errors.PanelError(f"The rollout is not over after {within:g} s.", why=why, next="panel.steps")
            time.sleep(0.05)
        return self.steps

    def _over(self) -> bool:
        return bool(self._steps) and (self._rolling is None or self._rolling.done())

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._rolling is None or self._rolling.done():
            await self._load.start()
            self._steps = []
            self._rolling = asyncio.create_task(self._shown(self._roll()))

    async def _halt(self) -> None:
        await self._end(self._rolling)

    async def _roll(self) -> None:
        before = dict(self._held)
        self.go.disabled = True
        try:
            for weight in self._plan.steps:
                await self._set(weights.moved(before, self._version, weight))
                step = await self._watch(weight)
                if step.verdict is Verdict.ROLL_BACK:
                    await self._set(before)
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
