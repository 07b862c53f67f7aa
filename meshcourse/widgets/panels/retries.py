"""The retry panel: fault and attempts as sliders, beside the resulting success and load.

It changes chapter 8's chain (front, middle, back). The fault is injected between middle and back; the gateway retries, and with *every hop*
the sidecar of front as well. For code: `set_retries`, `start`, `stop`, `wait_predicted`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import html
import time
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import labels
from meshcourse.measure.admin import AdminLine
from meshcourse.measure.binomial import Share
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules import retry_chain as mesh
from meshcourse.mesh.rules.retry_chain import Chain, Retrying
from meshcourse.traffic.results import Counts
from meshcourse.traffic.targets import Target
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import retries as picture
from meshcourse.widgets.models import retries as numbers
from meshcourse.widgets.models.retries import Arrivals, Story
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import LoadedPanel
from meshcourse.widgets.panels.panel import PATIENCE
from meshcourse.widgets.panels.parts import Parts

LOOK: Final = 1.0
"""Seconds between reads of the proxies' counters."""
WINDOW: Final = 3.0
PUSH: Final = 0.5
"""Seconds within which the mesh applies a slider's change."""
GATEWAY, EVERY = "gateway only", "every hop"
"""Which proxies retry."""
MAX_RATE: Final = 200
ENOUGH: Final = 30
"""Requests from which on the observed success is judged."""
WHY_NOT_BACK: Final = "Arrivals at back are left out: requests that the fault aborts never get there."
_COUNTER: Final = "upstream_rq_total"


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment. `hops` is (front, middle) in requests for each request of a user; None while too few were sent."""

    settings: Retrying
    running: bool
    counts: Counts
    summary: Summary
    success: Share
    hops: tuple[float, float] | None
    error: str


class RetryPanel(LoadedPanel[Parts, Snapshot]):
    """A live panel for a chain's fault and retries."""

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
        super().__init__(str(connection.kubeconfig), namespace, host)
        self._namespace = namespace
        self._load = self._add_load(Target(connection.ingress_url + path, host=host), labels.header("x-attempt"), window=WINDOW)
        self._cluster, chain = cluster, chain or Chain()
        self._lines = tuple(AdminLine(connection, namespace, each) for each in (chain.front, chain.middle))
        self._retrying = self._setting(
            read=lambda: mesh.read(connection, namespace, chain),
            write=lambda held, wanted: mesh.write(connection, namespace, chain, held, wanted),
            show=self._show,
        )
        self._looked = 0.0
        self._looking: asyncio.Task[None] | None = None

    def _build(self) -> Parts:
        self._story = Story(self._retrying.load())
        self.fault, self.attempts = parts.slider("fault, %", "mc-fault"), parts.slider("attempts", "mc-attempts", most=numbers.MOST)
        self.who = parts.toggles([GATEWAY, EVERY], "who retries", "mc-who")
        steering = loaded.steering("Send requests at the chosen rate", rate=40, most=MAX_RATE)
        self.formula, self.seen = parts.words("mc-formula"), parts.words("mc-observed")
        self.numbers, alert, self.alt = parts.words("mc-numbers"), parts.words("mc-error"), parts.words("mc-alt")
        self.figure = live_figure.made(picture.figure(self._story.view(None)))
        self._show(self._retrying.held)
        self._show_numbers(Counts(), Summary(WINDOW))
        self.fault.observe(lambda change: self._moved(fault=float(change["new"])), names="value")
        self.attempts.observe(lambda _: self._moved(), names="value")
        self.who.observe(lambda _: self._moved(), names="value")
        self._steer(steering)
        box = parts.boxed(
            "mc-retry-panel",
            parts.heading(f"Faults and retries in {self._namespace}: {self._load.target.host}"),
            parts.row(self.fault, self.attempts),
            parts.row(self.who, *steering.inputs()),
            self.formula,
            self.seen,
            self.numbers,
            alert,
            self.figure,
            self.alt,
            ipywidgets.HTML(parts.caption(WHY_NOT_BACK)),
        )
        return Parts(box, alert, (self.fault, self.attempts, self.who, *steering.inputs()))

    # -- for notebooks and tests
    # ------------------------------------------------------------------------------------------------------------

    def set_retries(self, *, fault: float, attempts: int, everywhere: bool = False) -> Retrying:
        """Write fault (per cent) and attempts; wait until the API server holds them. Raises KubernetesError, also shown in the panel."""
        self.open()
        wanted = dataclasses.replace(self._retrying.held, fault=float(fault), gateway=attempts, first=attempts if everywhere else 0)
        return self._wait(self._retrying.set(wanted), within=4 * PATIENCE)

    def wait_predicted(self, within: float = 20.0) -> Snapshot:
        """Wait until the observed success's 95 % band includes the prediction, and the hops are known; returns that snapshot.

        Only requests sent under the present settings count. Raises PanelError when that is not so within `within` seconds.
        """
        settings = self.snapshot().settings
        if settings.unlike:
            raise errors.PanelError(
                "There is no prediction for these rules.", why="; ".join(settings.unlike), next="panel.snapshot()    # what is observed"
            )

        def come(now: Snapshot) -> Snapshot | None:
            settled = not self._retrying.busy and time.monotonic() - self._retrying.changed > WINDOW + PUSH
            sure = now.success.n >= ENOUGH and numbers.predicted(now.settings).success in now.success
            return now if settled and sure and now.hops is not None else None

        return self._until(
            come,
            within,
            what=f"The success did not reach {numbers.predicted(settings).success:.1%}",
            why=lambda now: f"observed {now.success}; hops {now.hops}; {self._load.last_fault or now.error or 'no request failed'}",
        )

    # -- on the background loop ------------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        now = time.monotonic()
        if self._load.running and now - self._looked > LOOK and (self._looking is None or self._looking.done()):
            self._looked = now
            self._looking = asyncio.create_task(self._shown(self._count_hops(), of="the proxies"))
        if self._load.fresh:
            counts, summary = self._load.look()
            self._story.add(self._now(), summary)
            await asyncio.to_thread(self._draw, counts, summary)

    async def _count_hops(self) -> None:
        """Read both hops' counters, and between them the number of answered requests."""
        front = await asyncio.to_thread(self._count, self._lines[0])
        counts, _ = self._load.look()
        middle = await asyncio.to_thread(self._count, self._lines[1])
        self._story.arrived(Arrivals(self._now(), counts.answered + counts.failed, front, middle))

    def _count(self, line: AdminLine) -> int:
        """The counter's value; Envoy creates it at the first request."""
        return line.counters(self._cluster).get(_COUNTER, 0)

    async def _snapshot(self) -> Snapshot:
        counts, summary = self._load.look()
        hops = self._story.hops()
        return Snapshot(self._retrying.held, self.running, counts, summary, numbers.success(summary), hops, self._error)

    async def _leave(self) -> None:
        await super()._leave()
        await self._end(self._looking)
        for line in self._lines:
            await asyncio.to_thread(line.close)

    # -- showing; from any thread ----------------------------------------------------------------------------------------------------------

    def _moved(self, fault: float | None = None) -> None:
        attempts, everywhere = int(self.attempts.value), self.who.value == EVERY
        if not self._by_hand():
            return
        if fault is None:
            wanted = dataclasses.replace(self._retrying.wish, gateway=attempts, first=attempts if everywhere else 0)
        else:
            wanted = dataclasses.replace(self._retrying.wish, fault=fault)
        self.formula.value = formula(wanted)
        self._retrying.offer(wanted)

    def _show(self, settings: Retrying) -> None:
        self._story.turn(settings)
        attempts = max(settings.gateway, settings.first)
        with self._quietly():
            note = parts.put(self.fault, settings.fault)
            parts.put(self.attempts, attempts)
            if attempts:  # where no proxy retries the rules do not show which would
                self.who.value = EVERY if settings.first else GATEWAY
        self.formula.value = formula(settings) + html.escape(note)

    def _draw(self, counts: Counts, summary: Summary) -> None:
        view = self._story.view(summary)
        picture.update(self.figure, view)
        self._show_numbers(counts, summary)
        self.alt.value = parts.aloud(picture.describe(view))

    def _show_numbers(self, counts: Counts, summary: Summary) -> None:
        self.numbers.value = parts.count(counts, summary)
        found = numbers.success(summary)
        band = f", 95 % band {100 * found.low:.1f} to {100 * found.high:.1f} %" if found.n else ""
        self.seen.value = f"observed: {found} succeed{band}"

    def _begins(self) -> None:
        self._story.add(self._now(), None)


def formula(settings: Retrying) -> str:
    """`1 - 0.5^4 = 93.8 %`, with its explanation, for the settings; a value close to 1 is not rounded to 100 %."""
    if settings.unlike:
        return f"predicted: nothing, since {html.escape('; '.join(settings.unlike))}"
    fail, tries = settings.fault / 100, settings.gateway + 1
    whole = tries * (settings.first + 1)
    how = f"{tries} {'tries' if tries > 1 else 'try'} at the gateway"
    if settings.first:
        how += f", each of them {settings.first + 1} at front: {whole}"
    success = 100 * numbers.predicted(settings).success
    equals = "&gt; 99.9" if 99.95 <= success < 100 else f"= {success:.1f}"  # noqa: PLR2004 - where rounding would say 100
    return f"predicted: {how}; 1 - {fail:g}<sup>{whole}</sup> {equals} % succeed"
