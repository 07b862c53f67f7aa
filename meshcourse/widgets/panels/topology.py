"""The topology panel: who calls whom in a namespace, drawn once a second from every Envoy's counters; and one workload in detail.

Counting, load, redrawing and reading a workload run on the background loop, so no callback waits for the network. It reads from its first
use until `close()`, another panel of the same namespace (the cell was run again), or the end of the kernel. For code: `start`, `stop`,
`snapshot`, `wait_for`, `inspect`.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
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
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import LoadedPanel, Steering

TICK: Final = 1.0
WINDOW: Final = 5.0
"""Seconds over which rates are computed."""
MAX_RATE: Final = 50
LONGEST: Final = 60.0
"""Seconds within which a workload is read."""
NODES: Final = "workloads"
"""The trace of the picture with a point for each workload."""
NOBODY: Final = ("none", "")
"""The list's entry before a workload is chosen."""
HINT: Final = "Click a circle, or choose a workload in the list above: its pods, what its Envoy holds and its last calls appear here."


@dataclass(frozen=True)
class Controls:
    """The widgets, each with a CSS class (`mc-topology-start`, ...) by which a browser test finds it."""

    box: Any
    figure: Any
    steering: Steering
    workload: Any
    again: Any
    error: Any
    alt: Any
    node: Any

    def inputs(self) -> tuple[Any, ...]:
        """All widgets that a learner can move or press."""
        return (*self.steering.inputs(), self.workload, self.again)


class TopologyPanel(LoadedPanel[Controls, Topology]):
    """A live picture of one namespace. Construction does no I/O; the first use takes a sample and builds the widgets."""

    every = TICK

    def __init__(self, connection: Connection, *, namespace: str, path: str = "/", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(connection.kubeconfig), namespace)
        self._connection = connection
        self._namespace = namespace
        target = Target(connection.ingress_url + path, headers=dict(headers or {}))
        self._load = self._add_load(target, lambda *_: "", window=WINDOW)
        self._samples: deque[Sample] = deque()
        self._known: set[tuple[str, str]] = set()
        self._drawn: Topology | None = None
        self._looks = 0

    # -- for notebooks and tests ----------------------------------------------------------------------------------------------------

    @property
    def error(self) -> str:
        """The text of the error line."""
        return self._error

    async def _snapshot(self) -> Topology:
        """What was drawn last: the graph over the last five seconds."""
        if self._drawn is None:
            raise AssertionError
        return self._drawn

    def wait_for(self, source: str, target: str, within: float = 10.0) -> topology.Flow:
        """Wait until `source` calls `target`, and return the flow. Raises PanelError when it does not within `within` seconds."""
        return self._until(
            lambda now: flow if (flow := now.edge(source, target)).rate else None,
            within,
            what=f"{source} has not called {target}",
            why=str,
        )

    def inspect(self, workload: str) -> Workload:
        """The same as a click on a node: shows its pods, what its Envoy holds and its last calls below the picture, and returns them.

        Raises KubernetesError when there is no such workload or its Envoy does not answer.
        """
        self.open()
        self._offer(workload)
        return self._wait(self._look(workload), within=LONGEST)

    # -- required by Panel -----------------------------------------------------------------------------------------------------------

    def _build(self) -> Controls:
        self._samples.append(proxy_counters.read(self._connection, self._namespace))
        self._drawn = self._seen()
        built = build(self._drawn, self._load.target.url)
        self._steer(built.steering)
        built.workload.observe(self._chosen, names="value")
        built.again.on_click(lambda _: self._later(self._look_and_show(built.workload.value)))
        built.figure.observe(self._clicked, names="clicked")
        return built

    async def _beat(self) -> None:
        sample = await asyncio.to_thread(proxy_counters.read, self._connection, self._namespace)
        with self._lock:
            self._samples.append(sample)
            # The oldest sample kept is the newest of those older than the window, unless there was a long gap after it.
            while len(self._samples) > 2 and (  # noqa: PLR2004 - two make a difference
                self._samples[1].at <= sample.at - WINDOW or self._samples[0].at < sample.at - 2 * WINDOW
            ):
                self._samples.popleft()
            self._known |= {(edge.source, edge.target) for edge in self._seen().edges if edge.flow.rate}
        await asyncio.to_thread(self._draw)

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
        """Fill the list with the drawn workloads and `chosen` (None: the present choice), which may have no pod any more."""
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
        """For callbacks: an error is shown in place of the workload."""
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
                self._show_node(parts.complaint(str(error)))
            raise
        if look == self._looks:
            self._show_node(closeup.page(seen))
        return seen

    def _show_node(self, page: str) -> None:
        if self._controls is not None:
            self._controls.node.value = page

    # -- showing; from any thread --------------------------------------------------------------------------------------------------

    def _seen(self) -> Topology:
        with self._lock:
            return topology.between(self._samples[0], self._samples[-1], self._known)

    def _draw(self) -> None:
        if self._controls is not None:
            seen = self._seen()
            picture.update(self._controls.figure, seen)
            self._controls.alt.value = parts.aloud(picture.describe(seen))
            self._drawn = seen
            self._offer()

    def _remark(self) -> str:
        return self._load.failure


def build(seen: Topology, url: str) -> Controls:
    """All widgets, showing `seen`."""
    steering = loaded.steering(f"Send requests to {url}", rate=10, most=MAX_RATE, css="mc-topology-")
    workload = ipywidgets.Dropdown(
        options=choices(node.name for node in seen.nodes),
        value="",
        description="workload",
        style={"description_width": "80px"},
        layout=ipywidgets.Layout(width="320px", max_width="100%"),
    )
    workload.add_class("mc-topology-workload")
    again = parts.button("Read again", "mc-topology-again", tooltip="Read the chosen workload again")
    error, alt, node = parts.words("mc-error"), parts.words("mc-alt"), parts.words("mc-topology-node")
    alt.value, node.value = parts.aloud(picture.describe(seen)), closeup.box(HINT)
    figure = live_figure.made(picture.figure(seen))
    what = f"over the last {WINDOW:g} seconds; p99: 99 of 100 calls are answered within that time"
    heading = ipywidgets.HTML(f"<b>Who calls whom in {html.escape(seen.namespace)}</b>, {what}")
    rows = (heading, parts.row(*steering.inputs()), parts.row(workload, again), error, figure, alt, node)
    return Controls(parts.boxed("mc-topology-panel", *rows), figure, steering, workload, again, error, alt, node)


def choices(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(text, value) for each workload, once; an empty name is no workload."""
    return (NOBODY, *((name, name) for name in dict.fromkeys(names) if name))
