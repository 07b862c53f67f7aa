"""The push panel: give istiod an order, and see how long it takes until every Envoy has it.

An order is a small change: the header that the VirtualService gives to every answer gets the order's number. `proxies` are the (namespace,
Deployment) of each proxy to watch. Orders are given one after the other, never two at once. The same by calls: `push`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import copy
import html
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import errors
from meshcourse.kube import api_versions, resources
from meshcourse.kube.connection import Connection
from meshcourse.measure import pushes
from meshcourse.measure.pushes import Burst, Push
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import pushes as picture
from meshcourse.widgets.figures.pushes import View
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import Panel
from meshcourse.widgets.panels.parts import Parts

HEADER: Final = "x-order-from"
AT_ONCE: Final = 10
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
        self.ten = parts.button("Ten at once", "mc-push-ten", tooltip="Ten changes without a pause: how many pushes do they become?")
        self.ten.on_click(lambda _: self._later(self._push_at_once(AT_ONCE)))
        self.said, self.alt, alert = parts.words("mc-said"), parts.words("mc-alt"), parts.words("mc-error")
        self.figure = live_figure.made(picture.figure(self._view()))
        self._tell("Each order changes a header that every answer of the Service gets.")
        box = parts.boxed("mc-push-panel", parts.row(self.one, self.five, self.ten), self.said, alert, self.figure, self.alt)
        return Parts(box, alert, (self.one, self.five, self.ten))

    def push(self, times: int = 1) -> Mapping[str, tuple[float | None, ...]]:
        """Give orders and wait until they are through; milliseconds by proxy, all so far. Raises KubernetesError when one is refused."""
        self._wait(self._push(times), within=EACH * times)
        return self.snapshot().arrivals

    def push_at_once(self, number: int = 10) -> Mapping[str, int | None]:
        """Store so many changes without a pause; in how many steps each proxy changed. Raises KubernetesError when one is refused."""
        self.open()
        return self._wait(self._push_at_once(number), within=EACH)

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

    async def _push_at_once(self, number: int) -> Mapping[str, int | None]:
        async with self._turn:
            found = await asyncio.to_thread(self._burst, number)
        self._complain(None)
        seen = ", ".join(f"{proxy} {'no change' if steps is None else f'{steps} ×'}" for proxy, steps in found.steps.items())  # noqa: RUF001 - times
        self._tell(f"{number} orders, stored in {1000 * found.stored:.0f} ms. How often each proxy changed: {seen}. istiod waits for more.")
        return found.steps

    def _burst(self, number: int) -> Burst:
        whole = self._read()
        orders = [self._ordering(whole, f"istiod, {each} of {number} at once, {time.time():.0f}") for each in range(1, number + 1)]
        return pushes.burst(self._connection, orders, self._where[0], self._proxies)

    def _order(self) -> Push:
        """Change the header's value and time it; a value that is there already would push nothing."""
        whole, number = self._read(), max(map(len, self._arrivals.values())) + 1
        changed = self._ordering(whole, f"istiod, order {number}")
        if changed == whole:
            changed = self._ordering(whole, f"istiod, order {number} again")
        return pushes.measure(self._connection, changed, self._where[0], self._proxies)

    def _ordering(self, whole: Mapping[str, Any], order: str) -> dict[str, Any]:
        """The VirtualService with another value of the header."""
        changed = copy.deepcopy(dict(whole))
        changed["spec"]["http"][0].setdefault("headers", {}).setdefault("response", {}).setdefault("set", {})[HEADER] = order
        self._ordered = order
        return changed

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
        self.alt.value = parts.aloud(picture.describe(self._view()))
