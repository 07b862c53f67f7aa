"""The inspector: send one request, and see which route the gateway took and why, and every proxy that it passed.

The hosts to choose from are those of the namespace's VirtualServices. The routes are read from the running gateway just before the request
is sent; its way is read from the proxies' access logs. One request at a time. For code: `ask`, `snapshot`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import html
import string
import uuid
from collections.abc import Mapping
from typing import Any, Final

import ipywidgets

from meshcourse.core import errors
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.measure import request_hops, route_matching
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.admin import AdminLine
from meshcourse.measure.request_hops import Hop
from meshcourse.measure.route_matching import Asked, Step
from meshcourse.mesh import propagation
from meshcourse.mesh.envoy import config_dump
from meshcourse.mesh.install import installation
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.targets import Target
from meshcourse.widgets.figures import inspection as picture
from meshcourse.widgets.figures.inspection import Inspection
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import Panel
from meshcourse.widgets.panels.parts import Parts

LONGEST: Final = 40.0
"""Seconds within which a request is answered and its log lines are found."""


class InspectorPanel(Panel[Parts, Inspection | None]):
    """Construction does no I/O."""

    def __init__(self, connection: Connection, *, namespace: str, path: str = "/") -> None:
        super().__init__(str(connection.kubeconfig), namespace)
        self._connection, self._namespace, self._path = connection, namespace, path
        self._line = AdminLine(connection, installation.NAMESPACE, installation.INGRESS)
        self._found: Inspection | None = None
        self._turn = asyncio.Lock()

    def _build(self) -> Parts:
        rules = propagation.listed(self._connection, self._namespace, "virtualservices")
        hosts = sorted({str(host) for rule in rules for host in rule["spec"].get("hosts", ()) if "*" not in host})
        wide = ipywidgets.Layout(width="420px", max_width="100%")
        style = {"description_width": "80px"}
        self.host = ipywidgets.Combobox(
            value="",
            options=hosts,
            placeholder="the gateway's own address",
            description="host",
            continuous_update=False,
            style=style,
            layout=wide,
        )
        later = {"continuous_update": False}  # sent when the field loses the focus: events for each key may arrive after the click
        self.path = ipywidgets.Text(value=self._path, description="path", style=style, layout=wide, **later)
        self.headers = ipywidgets.Textarea(
            placeholder="x-team: internal",
            description="headers",
            continuous_update=False,
            style=style,
            layout=ipywidgets.Layout(width="420px", max_width="100%", height="66px"),
        )
        self.send = parts.button("Send one request", "mc-send", style="success")
        self.send.on_click(lambda _: self._later(self._ask_typed()))
        self.said, self.routes, self.hops = (parts.words(name) for name in ("mc-said", "mc-routes", "mc-hops"))
        self.error = parts.words("mc-error")
        for widget, name in ((self.host, "mc-host"), (self.path, "mc-path"), (self.headers, "mc-headers")):
            widget.add_class(name)
        self.said.value = "Type a header as <code>name: value</code>, one on each line."
        heading, button = parts.heading(f"One request into namespace {self._namespace}"), parts.row(self.send)
        rows = (heading, self.host, self.path, self.headers, button, self.error, self.said, self.routes, self.hops)
        return Parts(parts.boxed("mc-inspector-panel", *rows), self.error, (self.host, self.path, self.headers, self.send))

    async def _leave(self) -> None:
        await asyncio.to_thread(self._line.close)

    # -- for code --------------------------------------------------------------------------------------------------------------------

    def ask(self, path: str = "", *, host: str = "", headers: Mapping[str, str] | None = None) -> Inspection:
        """Send one request, with what was typed as the defaults, and wait until its log lines are found.

        Raises TrafficError for what cannot be sent, MeshcourseError when the cluster does not answer.
        """
        self.open()
        self.host.value, self.path.value = host or self.host.value, path or self.path.value
        if headers is not None:
            self.headers.value = "\n".join(f"{name}: {value}" for name, value in headers.items())
        return self._wait(self._ask_typed(), within=LONGEST)

    async def _snapshot(self) -> Inspection | None:
        """The last result."""
        return self._found

    # -- on the background loop --------------------------------------------------------------------------------------------------------

    async def _ask_typed(self) -> Inspection:
        async with self._turn:
            self.send.disabled = True
            try:
                self._complain(None)
                return await self._ask(self.host.value.strip(), self._typed_path(), typed(self.headers.value))
            finally:
                self.send.disabled = self._closed

    def _typed_path(self) -> str:
        path = str(self.path.value).strip()
        return path if path.startswith("/") else f"/{path}"

    async def _ask(self, host: str, path: str, headers: Mapping[str, str]) -> Inspection:
        if set(path) & set(string.whitespace):
            raise errors.TrafficError(f"{path!r} is not a path.", why="it contains a space", next="write %20 for a space")
        if set(host) & set(string.whitespace):
            raise errors.TrafficError(f"{host!r} is not a host.", why="it contains a space", next="write a name such as shop.example.com")
        mark = f"meshcourse-{uuid.uuid4().hex}"
        target = Target(self._connection.ingress_url + path, host=host, headers={**headers, "User-Agent": mark})
        held = await asyncio.to_thread(self._line.routes)
        asked = Asked.of(target)
        (result,) = await sender.send(target, pacing.closed(requests=1), in_flight=1)
        words = f"GET {path} at {host or target.address}" + "".join(f", {name}: {value}" for name, value in headers.items())
        found = Inspection(words, self._judged(held, asked), result.status, result.latency, result.fault)
        if not result.status:
            found = dataclasses.replace(found, closed=await asyncio.to_thread(self._closed_port))
        self._show(found, waiting=not found.closed)
        if found.closed:
            return found
        passed = await asyncio.to_thread(request_hops.find, self._connection, self._namespace, mark)
        pods = (await asyncio.to_thread(resources.read, self._connection.core().list_namespaced_pod, self._namespace)).items
        names = {str(pod.status.pod_ip): str(pod.metadata.name) for pod in pods}
        found = dataclasses.replace(await self._with_log(found, held, asked, passed), names=names)
        self._show(found, waiting=False)
        return found

    def _judged(self, held: list[dict[str, Any]], asked: Asked, entry: Entry | None = None) -> tuple[Step, ...]:
        return route_matching.steps(held, asked, self._connection.gateway_port, entry)

    def _closed_port(self) -> bool:
        """Whether the gateway's Envoy does not listen on the port for this connection's requests."""
        wanted = {table.removeprefix(config_dump.TABLE) for table in config_dump.tables(self._connection.gateway_port)}
        return not wanted & self._line.ports()

    async def _with_log(self, found: Inspection, held: list[dict[str, Any]], asked: Asked, passed: tuple[Hop, ...]) -> Inspection:
        """The result with the gateway's log: the route taken, for which path (Envoy normalises paths first), and the proxies passed."""
        if not passed:
            return found
        entry = passed[0].entry
        seen = dataclasses.replace(asked, path=entry["path"])
        steps = self._judged(held, seen, entry)
        if not route_matching.fits(steps, entry):  # the rules changed during the request: read them again
            steps = self._judged(await asyncio.to_thread(self._line.routes), seen, entry)
        if not route_matching.fits(steps, entry):
            return dataclasses.replace(found, hops=passed, moved=True)
        note = f", which the gateway reads as {entry['path']}" if entry["path"] != asked.path else ""
        return dataclasses.replace(found, asked=found.asked + note, steps=steps, hops=passed)

    def _show(self, found: Inspection, *, waiting: bool) -> None:
        self._found = found
        self.said.value = f"<b>{html.escape(found.asked)}</b><br>{html.escape(picture.describe(found))}"
        self.routes.value = picture.routes(found.steps)
        missing = "waiting for the proxies' logs (Envoy writes them once a second) …" if waiting else "no proxy has logged it"
        self.hops.value = picture.hops(found.hops, found.names) or parts.caption(missing)


_OWN: Final = {"host": "there is a separate field for it", "user-agent": "the inspector finds its request in the proxies' logs by it"}


def typed(text: str) -> dict[str, str]:
    """Headers from lines such as `x-team: internal`. Raises TrafficError for a line without a colon, and for Host and User-Agent."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or " " in name.strip():
            raise errors.TrafficError(f"{line!r} is not a header.", why="a header is a name, a colon and a value", next="x-team: internal")
        if why := _OWN.get(name.strip().lower()):
            raise errors.TrafficError(f"The inspector sets the header {name.strip()} itself.", why=why, next="lab.request sends any header")
        found[name.strip()] = value.strip()
    return found
