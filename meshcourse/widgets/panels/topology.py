"""The topology panel: who calls whom in a namespace, drawn once a second from what every Envoy counts; and one workload close up.

Counting, load, redrawing and reading a workload run on the background loop, so no callback waits for the network. It looks while it is
open: from its first use to `close()`, to another panel of the same namespace (the cell was run again), or to the end of the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.measure import proxy_counters, topology, workloads
from meshcourse.measure.proxy_counters import Sample
from meshcourse.measure.topology import Topology
from meshcourse.measure.workloads import Workload
from meshcourse.traffic.targets import Target
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import topology as picture
from meshcourse.widgets.figures import workload as closeup
from meshcourse.widgets.load import Load
from meshcourse.widgets.panels import controls
from meshcourse.widgets.panels.panel import Panel

TICK: Final = 1.0
WINDOW: Final = 5.0
"""Seconds over which rates are taken."""
MAX_RATE: Final = 50
LONGEST: Final = 60.0
"""Seconds within which a workload is read."""
NODES: Final = "workloads"
"""The trace of the picture that has a point for each workload."""
NOBODY: Final = ("none", "")
"""The choice before a workload was chosen."""
HINT: Final = "Click a circle, or choose a workload in the list above: its pods, what its Envoy holds and its last calls stand here then."


@dataclass(frozen=True)
class Controls:
    """The widgets, each with a CSS class (`mc-topology-start`, ...) by which a browser test finds it."""

    box: Any
    figure: Any
    start: Any
    stop: Any
    rate: Any
    workload: Any
    again: Any
    error: Any
    alt: Any
    node: Any


class TopologyPanel(Panel):
    """A live picture of one namespace. Making one does no I/O; the first use takes a sample and builds the widgets."""

    every = TICK

    def __init__(self, connection: Connection, *, namespace: str, path: str = "/", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(connection.kubeconfig), namespace)
        self._connection = connection
        self._namespace = namespace
        target = Target(connection.ingress_url + path, headers=dict(headers or {}))
        self._load = Load(target, lambda *_: "", window=WINDOW, changed=self._show_running, failed=self._complain)
        self._samples: deque[Sample] = deque()
        self._known: set[tuple[str, str]] = set()
        self._controls: Controls | None = None
        self._drawn: Topology | None = None
        self._looks = 0

    # -- what a notebook or a test calls -------------------------------------------------------------------------------------------

    def start(self, rate: float | None = None) -> None:
        """Send `rate` requests per second (the slider's without it) until `stop`. A call while load runs turns the rate."""
        shown = self.widgets.rate
        if rate is not None:
            with self._quietly():
                shown.max = max(shown.max, round(rate))
                shown.value = max(shown.min, round(rate))
            self._load.dial.turn(rate)
        self._wait(self._load.start())

    def stop(self) -> None:
        """End the load and wait until its sockets are closed."""
        self._wait(self._load.stop())

    @property
    def running(self) -> bool:
        """Whether load is being sent."""
        return self._load.running

    @property
    def error(self) -> str:
        """The text of the error line."""
        return self._error

    @property
    def widgets(self) -> Controls:
        """The widgets, built if need be."""
        self.open()
        if self._controls is None:
            raise AssertionError
        return self._controls

    def snapshot(self) -> Topology:
        """What was drawn last: the graph over the last five seconds."""
        self.open()
        if self._drawn is None:
            raise AssertionError
        return self._drawn

    def wait_for(self, source: str, target: str, within: float = 10.0) -> topology.Flow:
        """Wait until `source` calls `target`, and return the flow. Raises PanelError when it does not within `within` seconds."""
        ends = time.monotonic() + within
        while True:
            found = self.snapshot().edge(source, target)
            if found.rate:
                return found
            if time.monotonic() > ends:
                following = "panel.snapshot()" if self.running else "panel.start(rate=10)    # no load is running"
                raise errors.PanelError(f"{source} has not called {target} within {within:g} s.", why=str(self.snapshot()), next=following)
            time.sleep(0.05)

    def inspect(self, workload: str) -> Workload:
        """A click on a node: its pods, what its Envoy holds, its last calls; shown below the picture, and returned, to be printed.

        Raises KubernetesError when there is no such workload or its Envoy does not answer.
        """
        self.open()
        self._offer(workload)
        return self._wait(self._look(workload), within=LONGEST)

    # -- what Panel asks for -------------------------------------------------------------------------------------------------------

    def _build(self) -> tuple[Any, Any]:
        self._samples.append(proxy_counters.read(self._connection, self._namespace))
        self._drawn = self._seen()
        built = self._controls = build(self._drawn, self._load.target.url)
        built.start.on_click(lambda _: self._later(self._load.start()))
        built.stop.on_click(lambda _: self._later(self._load.stop()))
        built.rate.observe(self._turned, names="value")
        built.workload.observe(self._chosen, names="value")
        built.again.on_click(lambda _: self._later(self._look_and_show(built.workload.value)))
        built.figure.observe(self._clicked, names="clicked")
        self._load.dial.turn(float(built.rate.value))
        return built.box, built.error

    def _inputs(self) -> tuple[Any, ...]:
        made = self._controls
        return () if made is None else (made.start, made.stop, made.rate, made.workload, made.again)

    async def _beat(self) -> None:
        sample = await asyncio.to_thread(proxy_counters.read, self._connection, self._namespace)
        with self._lock:
            self._samples.append(sample)
            # The oldest that stays is the newest of those that are a window old, unless there was a long gap after it.
            while len(self._samples) > 2 and (  # noqa: PLR2004 - two make a difference
                self._samples[1].at <= sample.at - WINDOW or self._samples[0].at < sample.at - 2 * WINDOW
            ):
                self._samples.popleft()
            self._known |= {(edge.source, edge.target) for edge in self._seen().edges if edge.flow.rate}
        await asyncio.to_thread(self._draw)

    async def _leave(self) -> None:
        await self._load.stop()

    # -- one workload --------------------------------------------------------------------------------------------------------------

    def _chosen(self, change: Mapping[str, Any]) -> None:
        if self._by_hand():
            self._later(self._look_and_show(str(change["new"])))

    def _clicked(self, change: Mapping[str, Any]) -> None:
        point = change["new"]
        if point.get("trace") == NODES and not self._closed:
            self._offer(str(point["text"]))
            self._later(self._look_and_show(str(point["text"])))

    def _offer(self, chosen: str | None = None) -> None:
        """Have the list hold the workloads that are drawn and `chosen` (None: as it is), which may have no pod any more."""
        if self._controls is None or self._drawn is None:
            return
        shown = self._controls.workload
        with self._quietly(), shown.hold_sync():
            chosen = shown.value if chosen is None else chosen
            options = choices([*(node.name for node in self._drawn.nodes), chosen])
            if shown.options != options:
                shown.options = options
            shown.value = chosen

    async def _look_and_show(self, workload: str) -> None:
        """For callbacks: an error stands where the workload would."""
        if not workload:
            self._looks += 1
            self._show_node(closeup.box(HINT))
            return
        with contextlib.suppress(errors.MeshcourseError):
            await self._look(workload)

    async def _look(self, workload: str) -> Workload:
        """Read a workload, and show it unless another was chosen in the meantime."""
        self._looks += 1
        look = self._looks
        self._show_node(closeup.box(f"Reading {html.escape(workload)} …"))
        try:
            seen = await asyncio.to_thread(workloads.read, self._connection, self._namespace, workload)
        except Exception as error:
            if look == self._looks:
                self._show_node(controls.complaint(str(error)))
            raise
        if look == self._looks:
            self._show_node(closeup.page(seen))
        return seen

    def _show_node(self, page: str) -> None:
        if self._controls is not None:
            self._controls.node.value = page

    # -- showing; from any thread --------------------------------------------------------------------------------------------------

    def _turned(self, change: Mapping[str, Any]) -> None:
        if self._by_hand():
            self._load.dial.turn(float(change["new"]))

    def _seen(self) -> Topology:
        with self._lock:
            return topology.between(self._samples[0], self._samples[-1], self._known)

    def _draw(self) -> None:
        if self._controls is not None:
            seen = self._seen()
            picture.update(self._controls.figure, seen)
            self._controls.alt.value = controls.caption(picture.describe(seen))
            self._drawn = seen
            self._offer()

    def _show_running(self, running: bool) -> None:  # noqa: FBT001 - Load calls it
        if self._controls is not None:
            self._controls.start.disabled = running or self._closed
            self._controls.stop.disabled = not running

    def _show_error(self) -> None:
        if self._controls is not None:
            last = f"Last failed request: {self._load.last_fault}" if self._load.last_fault else ""
            self._controls.error.value = controls.complaint("\n".join(each for each in (self._error, last) if each))


def build(seen: Topology, url: str) -> Controls:
    """All widgets, showing `seen`."""
    start = _button("Start load", "start", f"Send requests to {url}", style="success")
    stop = _button("Stop load", "stop", "Stop sending")
    stop.disabled = True
    rate = ipywidgets.IntSlider(
        value=10,
        min=1,
        max=MAX_RATE,
        description="requests/s",
        style={"description_width": "80px"},
        layout=ipywidgets.Layout(width="320px", max_width="100%"),
    )
    rate.add_class("mc-topology-rate")
    workload = ipywidgets.Dropdown(
        options=choices(node.name for node in seen.nodes),
        value="",
        description="workload",
        style={"description_width": "80px"},
        layout=ipywidgets.Layout(width="320px", max_width="100%"),
    )
    workload.add_class("mc-topology-workload")
    again = _button("Read again", "again", "Read the chosen workload once more")
    error, alt, node = ipywidgets.HTML(), ipywidgets.HTML(controls.caption(picture.describe(seen))), ipywidgets.HTML(closeup.box(HINT))
    error.add_class("mc-error")
    alt.add_class("mc-alt")
    node.add_class("mc-topology-node")
    figure = live_figure.made(picture.figure(seen))
    heading = ipywidgets.HTML(f"<b>Who calls whom in {html.escape(seen.namespace)}</b>, over the last {WINDOW:g} seconds")
    wrapped = ipywidgets.Layout(flex_flow="row wrap")
    load, choice = ipywidgets.HBox([start, stop, rate], layout=wrapped), ipywidgets.HBox([workload, again], layout=wrapped)
    box = ipywidgets.VBox([heading, load, choice, error, figure, alt, node], layout=controls.whole())
    box.add_class("mc-topology-panel")
    return Controls(box, figure, start, stop, rate, workload, again, error, alt, node)


def choices(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(text, value) for each workload, once; an empty name is no workload."""
    return (NOBODY, *((name, name) for name in dict.fromkeys(names) if name))


def _button(text: str, name: str, tooltip: str, *, style: str = "") -> Any:  # noqa: ANN401 - ipywidgets has no types
    button = ipywidgets.Button(description=text, tooltip=tooltip, button_style=style, layout=ipywidgets.Layout(width="auto"))
    button.add_class(f"mc-topology-{name}")
    return button
