"""The retry panel: fault and attempts as sliders, beside what requests then go through.

The fault is injected between middle and back; the gateway retries, and with *every hop* the sidecar of front as well.
"""

from __future__ import annotations

import asyncio
import html
import time
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import labels
from meshcourse.measure.admin import AdminLine
from meshcourse.measure.shares import Share
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules import retry_chain as mesh
from meshcourse.mesh.rules.retry_chain import Chain, Retrying
from meshcourse.traffic.results import Counts
from meshcourse.traffic.targets import Target
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import retries as picture
from meshcourse.widgets.load import Load
from meshcourse.widgets.models import retries as numbers
from meshcourse.widgets.models.retries import Arrivals, Story
from meshcourse.widgets.panels import controls
from meshcourse.widgets.panels.panel import PATIENCE, Panel, Widget

LOOK: Final = 1.0
"""Seconds between looks at the proxies' counters."""
WINDOW: Final = 3.0
PUSH: Final = 0.5
"""Seconds that the mesh may take to follow a slider."""
GATEWAY, EVERY = "gateway only", "every hop"
"""Who retries."""
MAX_RATE: Final = 200
ENOUGH: Final = 30
"""Requests from which on the observed success is judged."""
_COUNTER: Final = "upstream_rq_total"


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment. `hops` is (front, middle) in requests for each one of a user's; None while too few were sent."""

    settings: Retrying
    running: bool
    counts: Counts
    summary: Summary
    success: Share
    hops: tuple[float, float] | None
    error: str


class RetryPanel(Panel):
    """A live panel over a chain's fault and retries."""

    def __init__(
        self,
        connection: Connection,
        *,
        namespace: str,
        host: str = "chain.example.com",
        path: str = "/status/200",
        chain: Chain | None = None,
        cluster: str = "inbound|80||",
    ) -> None:
        self._connection, self._namespace, self._chain = connection, namespace, chain or Chain()
        super().__init__(str(connection.kubeconfig), namespace, host)
        target = Target(connection.ingress_url + path, host=host)
        self._load = Load(target, labels.header("x-attempt"), window=WINDOW, changed=self._show_running, failed=self._complain)
        self._load.dial.turn(40)
        self._cluster = cluster
        self._lines = tuple(AdminLine(connection, namespace, each) for each in (self._chain.front, self._chain.middle))
        self._asked = self._looked = 0.0
        self._looking: asyncio.Task[None] | None = None

    # -- what it is made of --------------------------------------------------------------------------------------------------------------

    def _build(self) -> tuple[Widget, Widget]:
        self._story = Story(mesh.read(self._connection, self._namespace, self._chain))
        wide = ipywidgets.Layout(width="420px", max_width="100%")
        style = {"description_width": "80px"}
        self.fault = ipywidgets.IntSlider(min=0, max=100, description="fault, %", style=style, layout=wide)
        self.attempts = ipywidgets.IntSlider(min=0, max=numbers.MOST, description="attempts", style=style, layout=wide)
        self.who = controls.toggles([GATEWAY, EVERY], "who retries", "mc-who")
        self.rate = ipywidgets.IntSlider(value=40, min=1, max=MAX_RATE, description="requests/s", style=style, layout=wide)
        self.begin = controls.button("Start load", "mc-start", tooltip="Send requests at the chosen rate", style="success")
        self.end = controls.button("Stop load", "mc-stop", tooltip="Stop sending")
        self.end.disabled = True
        self.formula, self.seen = controls.words("mc-formula"), controls.words("mc-observed")
        self.numbers, alert, self.alt = controls.words("mc-numbers"), controls.words("mc-error"), controls.words("mc-alt")
        for name, widget in (("fault", self.fault), ("attempts", self.attempts), ("rate", self.rate)):
            widget.add_class(f"mc-{name}")
        self.figure = live_figure.made(picture.figure(self._story.view(None)))
        self._show_settings(self._story.settings)
        self._show_numbers(Counts(), Summary(WINDOW))
        self._wire()
        row = ipywidgets.Layout(flex_flow="row wrap")
        heading = ipywidgets.HTML(f"<b>Faults and retries in {html.escape(self._namespace)}: {html.escape(self._load.target.host)}</b>")
        rows = [
            heading,
            ipywidgets.HBox([self.fault, self.attempts], layout=row),
            ipywidgets.HBox([self.who, self.begin, self.end, self.rate], layout=row),
            self.formula,
            self.seen,
            self.numbers,
            alert,
            self.figure,
            self.alt,
        ]
        box = ipywidgets.VBox(rows, layout=controls.whole())
        box.add_class("mc-retry-panel")
        return box, alert

    def _wire(self) -> None:
        for widget in (self.fault, self.attempts, self.who):
            widget.observe(lambda _: self._moved(), names="value")
        self.rate.observe(lambda change: self._load.dial.turn(float(change["new"])), names="value")
        self.begin.on_click(lambda _: self._later(self._load.start()))
        self.end.on_click(lambda _: self._later(self._load.stop()))

    def _inputs(self) -> tuple[Widget, ...]:
        return (self.fault, self.attempts, self.who, self.rate, self.begin, self.end)

    # -- what a notebook or a test calls ---------------------------------------------------------------------------------------------------

    def set_retries(self, *, fault: float, attempts: int, everywhere: bool = False) -> Retrying:
        """Write fault (per cent) and attempts; wait until the API server holds them. Raises KubernetesError, also shown in the panel."""
        return self._wait(self._set(Retrying(float(fault), attempts, attempts if everywhere else 0)), within=4 * PATIENCE)

    def start(self, rate: float | None = None) -> None:
        """Send `rate` requests per second (the rate slider's without it) until `stop`. A call while load runs turns the rate."""
        self.open()
        if rate is not None:
            self.rate.max = max(self.rate.max, round(rate))
            self.rate.value = round(rate)
            self._load.dial.turn(rate)
        self._wait(self._load.start())

    def stop(self) -> None:
        """End the load and wait until its sockets are closed."""
        self._wait(self._load.stop())

    def wait_predicted(self, within: float = 20.0) -> Snapshot:
        """Wait until the observed success's 95 % band holds what the formula says, and the hops are known; return that moment.

        Only requests sent under the present settings count.
        Raises PanelError when that has not come about within `within` seconds.
        """
        ends = time.monotonic() + within
        while True:
            found = self.snapshot()
            foreseen = numbers.predicted(found.settings)
            settled = not self._latest.busy and time.monotonic() - self._asked > WINDOW + PUSH
            if settled and found.success.n >= ENOUGH and foreseen.success in found.success and found.hops is not None:
                return found
            if time.monotonic() > ends:
                raise errors.PanelError(
                    f"Success did not come to {foreseen.success:.1%} within {within:g} s.",
                    why=f"observed {found.success}; hops {found.hops}; {self._load.last_fault or found.error or 'no request failed'}",
                    next="panel.snapshot()" if found.running else "panel.start(rate=40)    # no load is running",
                )
            time.sleep(0.05)

    def snapshot(self) -> Snapshot:
        """The panel now."""
        return self._wait(self._snapshot())

    @property
    def running(self) -> bool:
        """Whether load is being sent."""
        return self._load.running

    # -- on the background loop ------------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        now = time.monotonic()
        if self._load.running and now - self._looked > LOOK and (self._looking is None or self._looking.done()):
            self._looked = now
            self._looking = asyncio.create_task(self._shown(self._look(), of="the proxies"))
        if self._load.fresh:
            counts, summary = self._load.look()
            self._story.add(self._now(), summary)
            await asyncio.to_thread(self._draw, counts, summary)

    async def _look(self) -> None:
        """Read both hops' counters, and between them how many requests have been answered."""
        front = await asyncio.to_thread(self._count, self._lines[0])
        counts, _ = self._load.look()
        middle = await asyncio.to_thread(self._count, self._lines[1])
        self._story.arrived(Arrivals(self._now(), counts.answered + counts.failed, front, middle))

    def _count(self, line: AdminLine) -> int:
        """Envoy makes this counter at the first request."""
        return line.counters(self._cluster).get(_COUNTER, 0)

    async def _follow(self) -> None:
        asked = self._asked
        held = await asyncio.to_thread(mesh.read, self._connection, self._namespace, self._chain)
        if asked == self._asked and not self._latest.busy and held != self._story.settings:
            self._accept(held)

    async def _set(self, wanted: Retrying) -> Retrying:
        try:
            held = await asyncio.to_thread(mesh.write, self._connection, self._namespace, self._chain, wanted)
        except errors.MeshcourseError as error:
            self._complain(error)
            raise
        self._accept(held)
        return held

    async def _write(self, wanted: Retrying) -> None:
        await self._shown(self._set(wanted))

    def _accept(self, held: Retrying) -> None:
        self._asked = time.monotonic()
        self._story.turn(held)
        self._complain(None)
        if not self._latest.waiting:
            self._show_settings(held)

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        hops = self._story.hops()
        return Snapshot(self._story.settings, self.running, counts, summary, numbers.success(summary), hops, self._error)

    async def _leave(self) -> None:
        await self._load.stop()
        await self._end(self._looking)
        for line in self._lines:
            await asyncio.to_thread(line.close)

    # -- showing; from any thread ----------------------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        attempts = int(self.attempts.value)
        wanted = Retrying(float(self.fault.value), attempts, attempts if self.who.value == EVERY else 0)
        if not self._by_hand():
            return
        self._asked = time.monotonic()
        self.formula.value = formula(wanted)
        self._latest.offer(wanted)

    def _show_settings(self, settings: Retrying) -> None:
        with self._quietly():
            self.fault.value = round(settings.fault)
            self.attempts.value = min(max(settings.gateway, settings.first), numbers.MOST)
            self.who.value = EVERY if settings.first else GATEWAY
        self.formula.value = formula(settings)

    def _draw(self, counts: Counts, summary: Summary) -> None:
        view = self._story.view(summary)
        picture.update(self.figure, view)
        self._show_numbers(counts, summary)
        self.alt.value = controls.caption(picture.describe(view))

    def _show_numbers(self, counts: Counts, summary: Summary) -> None:
        self.numbers.value = controls.count(counts, summary)
        found = numbers.success(summary)
        band = f", 95 % band {100 * found.low:.1f} to {100 * found.high:.1f} %" if found.n else ""
        self.seen.value = f"observed: {found} succeed{band}"

    def _show_running(self, running: bool) -> None:  # noqa: FBT001 - Load calls it
        if running:
            self._complain(None)
            self._story.add(self._now(), None)
        self.begin.disabled = running or self._closed
        self.end.disabled = not running


def formula(settings: Retrying) -> str:
    """`1 - 0.5^4 = 93.8 %`, in words, for the settings; what is nearly sure is not called sure."""
    fail, tries = settings.fault / 100, settings.gateway + 1
    whole = tries * (settings.first + 1)
    how = f"{tries} {'tries' if tries > 1 else 'try'} at the gateway"
    if settings.first:
        how += f", each of them {settings.first + 1} at front: {whole}"
    success = 100 * numbers.predicted(settings).success
    equals = "&gt; 99.9" if 99.95 <= success < 100 else f"= {success:.1f}"  # noqa: PLR2004 - where rounding would say 100
    return f"predicted: {how}; 1 - {fail:g}<sup>{whole}</sup> {equals} % succeed"
