"""The push panel: give istiod an order, and see how long it takes until every Envoy has it.

An order is a small change: the header that the VirtualService gives to every answer gets the order's number. `proxies` are the (namespace,
Deployment) of each proxy to watch. Orders are given one after the other, never two at once. The same by calls: `push`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import copy
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube import api_versions, resources
from meshcourse.kube.connection import Connection
from meshcourse.measure import pushes
from meshcourse.measure.pushes import Push
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import pushes as picture
from meshcourse.widgets.figures.pushes import View
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import Panel
from meshcourse.widgets.panels.parts import Parts

HEADER: Final = "x-order-from"
EACH: Final = 30.0
"""Seconds within which one order is through, on a slow machine too."""


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment: milliseconds by proxy, the last header value that was ordered, and the error line."""

    arrivals: Mapping[str, tuple[float | None, ...]]
    ordered: str
    error: str


class PushPanel(Panel[Parts, Snapshot]):
    """Making one does no I/O; its first use reads the VirtualService."""

    def __init__(self, connection: Connection, *, namespace: str, virtual_service: str, proxies: Sequence[tuple[str, str]]) -> None:
        super().__init__(str(connection.kubeconfig), namespace, virtual_service)
        self._connection = connection
        self._where = (namespace, virtual_service)
        self._proxies = tuple(proxies)
        self._arrivals: dict[str, list[float | None]] = {f"{name}.{where}": [] for where, name in proxies}
        self._ordered = ""
        self._turn = asyncio.Lock()

    def _build(self) -> Parts:
        self._read()
        self.one, self.five = parts.button("Give an order", "mc-push"), parts.button("Give five", "mc-push-five")
        self.one.on_click(lambda _: self._later(self._push(1)))
        self.five.on_click(lambda _: self._later(self._push(5)))
        self.said, self.alt, alert = parts.words("mc-said"), parts.words("mc-alt"), parts.words("mc-error")
        self.figure = live_figure.made(picture.figure(self._view()))
        self._tell("Each order changes a header that every answer of the Service gets.")
        box = parts.boxed("mc-push-panel", parts.row(self.one, self.five), self.said, alert, self.figure, self.alt)
        return Parts(box, alert, (self.one, self.five))

    def push(self, times: int = 1) -> Mapping[str, tuple[float | None, ...]]:
        """Give orders and wait until they are through; milliseconds by proxy, all so far. Raises KubernetesError when one is refused."""
        self._wait(self._push(times), within=EACH * times)
        return self.snapshot().arrivals

    async def _snapshot(self) -> Snapshot:
        return Snapshot({proxy: tuple(found) for proxy, found in self._arrivals.items()}, self._ordered, self._error)

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _push(self, times: int) -> None:
        for _ in range(times):
            async with self._turn:
                push = await asyncio.to_thread(self._order)
            for proxy, seconds in push.arrivals.items():
                self._arrivals[proxy].append(None if seconds is None else 1000 * seconds)
            self._complain(self._refusal(push))
            self._tell(f"Ordered: {HEADER}: {self._ordered}. The API server took {1000 * push.stored:.0f} ms to store it.")

    def _refusal(self, push: Push) -> errors.PanelError | None:
        """What is shown when an Envoy rejects what istiod sends: it may hold this order and not others."""
        if not push.rejected:
            return None
        return errors.PanelError(f"{'; '.join(push.rejected)}.", why="it goes on with what it held before", next="istioctl proxy-status")

    def _order(self) -> Push:
        """Change the header's value and time it; a value that is there already would push nothing."""
        changed = copy.deepcopy(self._read())
        values = changed["spec"]["http"][0].setdefault("headers", {}).setdefault("response", {}).setdefault("set", {})
        number = max(map(len, self._arrivals.values())) + 1
        self._ordered = f"istiod, order {number}" if values.get(HEADER) != f"istiod, order {number}" else f"istiod, order {number} again"
        values[HEADER] = self._ordered
        return pushes.measure(self._connection, changed, self._where[0], self._proxies)

    def _read(self) -> dict[str, Any]:
        namespace, name = self._where
        group = api_versions.networking(self._connection)
        found = resources.read(self._connection.custom().get_namespaced_custom_object, *group, namespace, pushes.PLURAL, name)
        if not found or not found.get("spec", {}).get("http"):
            raise errors.PanelError(
                f"There is no VirtualService {name} with http rules in namespace {namespace}.",
                why="the panel gives its orders by changing it",
                next=f"kubectl -n {namespace} get virtualservices",
            )
        return dict(found)

    # -- showing -----------------------------------------------------------------------------------------------------------------------

    def _view(self) -> View:
        return View({proxy: tuple(found) for proxy, found in self._arrivals.items()})

    def _tell(self, text: str) -> None:
        self.said.value = html.escape(text)
        picture.update(self.figure, self._view())
        self.alt.value = parts.caption(picture.describe(self._view()))
