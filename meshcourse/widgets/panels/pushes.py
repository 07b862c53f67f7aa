"""The push panel: change a VirtualService, and see how long istiod takes until every Envoy has the change.

Each change gives a new number to a header that the VirtualService sets in every answer. `proxies` are the (namespace, Deployment) of each
proxy to watch. Changes are pushed one after the other, never two at once. For code: `push`, `snapshot`.
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
"""Seconds within which one change reaches all proxies, on a slow machine too."""


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment: milliseconds by proxy, the last value of the header, and the error line."""

    arrivals: Mapping[str, tuple[float | None, ...]]
    header: str
    error: str


class PushPanel(Panel[Parts, Snapshot]):
    """Construction does no I/O; the first use reads the VirtualService."""

    def __init__(self, connection: Connection, *, namespace: str, virtual_service: str, proxies: Sequence[tuple[str, str]]) -> None:
        super().__init__(str(connection.kubeconfig), namespace, virtual_service)
        self._connection = connection
        self._where = (namespace, virtual_service)
        self._proxies = tuple(proxies)
        self._arrivals: dict[str, list[float | None]] = {f"{name}.{where}": [] for where, name in proxies}
        self._header = ""
        self._turn = asyncio.Lock()

    def _build(self) -> Parts:
        self._read()
        self.one, self.five = parts.button("Push a change", "mc-push"), parts.button("Push five", "mc-push-five")
        self.one.on_click(lambda _: self._later(self._push(1)))
        self.five.on_click(lambda _: self._later(self._push(5)))
        self.ten = parts.button("Ten at once", "mc-push-ten", tooltip="Ten changes without a pause: how many pushes do they become?")
        self.ten.on_click(lambda _: self._later(self._push_at_once(AT_ONCE)))
        self.said, self.alt, alert = parts.words("mc-said"), parts.words("mc-alt"), parts.words("mc-error")
        self.figure = live_figure.made(picture.figure(self._view()))
        self._show_text("Each change sets a header in every answer of the Service.")
        box = parts.boxed("mc-push-panel", parts.row(self.one, self.five, self.ten), self.said, alert, self.figure, self.alt)
        return Parts(box, alert, (self.one, self.five, self.ten))

    def push(self, times: int = 1) -> Mapping[str, tuple[float | None, ...]]:
        """Push changes and wait for all; milliseconds by proxy, all so far. Raises KubernetesError when one is refused."""
        self._wait(self._push(times), within=EACH * times)
        return self.snapshot().arrivals

    def push_at_once(self, number: int = 10) -> Mapping[str, int | None]:
        """Store so many changes without a pause; returns in how many steps each proxy changed.

        Raises KubernetesError when one is refused.
        """
        self.open()
        return self._wait(self._push_at_once(number), within=EACH)

    async def _snapshot(self) -> Snapshot:
        return Snapshot({proxy: tuple(found) for proxy, found in self._arrivals.items()}, self._header, self._error)

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _push(self, times: int) -> None:
        for _ in range(times):
            async with self._turn:
                push = await asyncio.to_thread(self._change)
            for proxy, seconds in push.arrivals.items():
                self._arrivals[proxy].append(None if seconds is None else 1000 * seconds)
            self._complain(self._refusal(push))
            self._show_text(f"Stored: {HEADER}: {self._header}. The API server took {1000 * push.stored:.0f} ms to store it.")

    def _refusal(self, push: Push) -> errors.PanelError | None:
        """The error when an Envoy rejects what istiod sends: it may hold this change and not others."""
        if not push.rejected:
            return None
        return errors.PanelError(f"{'; '.join(push.rejected)}.", why="it keeps what it held before", next="istioctl proxy-status")

    async def _push_at_once(self, number: int) -> Mapping[str, int | None]:
        async with self._turn:
            found = await asyncio.to_thread(self._burst, number)
        self._complain(None)
        seen = ", ".join(f"{proxy} {'no change' if steps is None else f'{steps} ×'}" for proxy, steps in found.steps.items())  # noqa: RUF001 - times
        self._show_text(f"{number} changes, stored in {1000 * found.stored:.0f} ms. Updates of each proxy: {seen}. istiod waits for more.")
        return found.steps

    def _burst(self, number: int) -> Burst:
        whole = self._read()
        changes = [self._changing(whole, f"istiod, {each} of {number} at once, {time.time():.0f}") for each in range(1, number + 1)]
        return pushes.burst(self._connection, changes, self._where[0], self._proxies)

    def _change(self) -> Push:
        """Change the header's value and time it; an unchanged value would not be pushed."""
        whole, number = self._read(), max(map(len, self._arrivals.values())) + 1
        changed = self._changing(whole, f"istiod, change {number}")
        if changed == whole:
            changed = self._changing(whole, f"istiod, change {number} again")
        return pushes.measure(self._connection, changed, self._where[0], self._proxies)

    def _changing(self, whole: Mapping[str, Any], value: str) -> dict[str, Any]:
        """The VirtualService with another value of the header."""
        changed = copy.deepcopy(dict(whole))
        changed["spec"]["http"][0].setdefault("headers", {}).setdefault("response", {}).setdefault("set", {})[HEADER] = value
        self._header = value
        return changed

    def _read(self) -> dict[str, Any]:
        namespace, name = self._where
        group = api_versions.networking(self._connection)
        found = resources.read(self._connection.custom().get_namespaced_custom_object, *group, namespace, pushes.PLURAL, name)
        if not found or not found.get("spec", {}).get("http"):
            raise errors.PanelError(
                f"There is no VirtualService {name} with http rules in namespace {namespace}.",
                why="the panel changes it",
                next=f"kubectl -n {namespace} get virtualservices",
            )
        return dict(found)

    # -- showing -----------------------------------------------------------------------------------------------------------------------

    def _view(self) -> View:
        return View({proxy: tuple(found) for proxy, found in self._arrivals.items()})

    def _show_text(self, text: str) -> None:
        self.said.value = html.escape(text)
        picture.update(self.figure, self._view())
        self.alt.value = parts.aloud(picture.describe(self._view()))
