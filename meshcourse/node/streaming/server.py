"""The kubelet's HTTPS server: routes requests, and answers errors as a kubelet does.

Paths and parameters: k8s.io/kubernetes/pkg/kubelet/server/server.go, facts of kube-apiserver 1.36.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Self, cast

from aiohttp import web

from meshcourse.node.process import logs
from meshcourse.node.streaming import authorization, channels, exec_attach, portforward, resource_metrics, spdy, upgrades
from meshcourse.node.streaming.channels import ERROR, RESIZE, STDERR, STDIN, STDOUT, Client
from meshcourse.node.streaming.runtime import NotRunning, Runtime

_STREAMS = {"": None, "All": None, "Stdout": "stdout", "Stderr": "stderr"}


def server_tls(certificate: Path, key: Path, client: Path) -> ssl.SSLContext:
    """TLS that accepts the client certificate `client` and refuses any other; clients without one must send a token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # trust this certificate itself, not its authority
    context.load_verify_locations(client)
    return context


class Server:
    """The kubelet API on `host`:`port` (0: any free one; `port` then says which). `allowed` authorizes clients without a certificate."""

    def __init__(self, runtime: Runtime, host: str, port: int, tls: ssl.SSLContext, allowed: authorization.Allowed | None = None) -> None:
        self._allowed = allowed
        self.port = port
        self._runtime = runtime
        self._host = host
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[authorization.guard(self._allowed)])
        place = "/{namespace}/{pod}"
        application.add_routes(
            [
                web.get("/containerLogs" + place + "/{container}", self._logs),
                web.get("/pods", self._pods),
                web.get("/runningpods/", self._pods),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.get("/metrics/resource", self._resource_metrics),
                web.get("/stats/summary", self._summary),
                *(web.route(method, "/exec" + place + "/{container}", self._exec) for method in ("GET", "POST")),
                *(web.route(method, "/attach" + place + "/{container}", self._attach) for method in ("GET", "POST")),
                *(web.route(method, "/portForward" + place, self._port_forward) for method in ("GET", "POST")),
            ]
        )
        # Cancelled with its client: a follower of a silent log would otherwise stay forever.
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        options = _log_options(request)
        with _lookup():
            source = self._runtime.log(*_place(request), request.query.get("previous") == "true")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async with aclosing(logs.read(source.path, ended=source.ended, **options)) as text:
                async for block in text:
                    await response.write(block)
            await response.write_eof()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        wanted, tty = _wanted(request)
        with _lookup():
            argv = self._runtime.enter(*_place(request), request.query.getall("command", []), tty)
        return await _talk(request, wanted, lambda client: exec_attach.execute(client, argv, tty=tty, stdin=STDIN in wanted))

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        wanted, _ = _wanted(request)
        with _lookup():
            process = self._runtime.attach(*_place(request))
        return await _talk(request, wanted, lambda client: exec_attach.attach(client, process, stdin=STDIN in wanted))

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        namespace, pod = request.match_info["namespace"], request.match_info["pod"]
        if not any(_is(found, namespace, pod) for found in self._runtime.pods()):
            raise web.HTTPNotFound(text=f'pod "{pod}" does not exist')

        async def connect(port: int) -> portforward.Connection:
            return await self._runtime.connect(namespace, pod, port)

        if not upgrades.is_websocket(request):
            protocol = upgrades.agree(request, (portforward.PROTOCOL,)) or portforward.PROTOCOL
            response, connection = await upgrades.spdy_connection(request, protocol)
            with contextlib.suppress(spdy.ProtocolError):
                await portforward.over_spdy(connection, connect)
            return response
        protocol = upgrades.agree(request, (portforward.TUNNEL, *portforward.CHANNELS))
        ports = [] if protocol == portforward.TUNNEL else _ports(request)
        socket = await upgrades.websocket(request, protocol)
        with contextlib.suppress(ConnectionError, spdy.ProtocolError):
            if protocol == portforward.TUNNEL:
                await portforward.over_spdy(upgrades.tunnel(socket), connect)
            else:
                await portforward.over_channels(socket, ports, connect)
        return socket

    async def _pods(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._runtime.pods()})

    async def _metrics(self, _: web.Request) -> web.StreamResponse:
        used = await self._runtime.use()
        return web.Response(text=resource_metrics.own(used.name, len(used.pods()), len(used.containers)))

    async def _resource_metrics(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=resource_metrics.resource(await self._runtime.use()))

    async def _summary(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(resource_metrics.summary(await self._runtime.use()))

    async def _healthz(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")


@contextlib.contextmanager
def _lookup() -> Iterator[None]:
    """Convert errors about missing things to a kubelet's answer."""
    try:
        yield
    except LookupError as error:
        refusal = web.HTTPBadRequest if isinstance(error, NotRunning) else web.HTTPNotFound
        raise refusal(text=str(error.args[0]) if error.args else "not found") from error  # str() of a KeyError adds quotes


def _place(request: web.Request) -> tuple[str, str, str]:
    return request.match_info["namespace"], request.match_info["pod"], request.match_info["container"]


def _is(pod: dict[str, Any], namespace: str, name: str) -> bool:
    metadata = pod.get("metadata", {})
    return bool(metadata.get("namespace") == namespace and metadata.get("name") == name)


def _wanted(request: web.Request) -> tuple[set[int], bool]:
    """The channels that the client asks for, and whether it wants a terminal (which has no stderr of its own)."""
    names = {"input": STDIN, "output": STDOUT, "error": STDERR}
    wanted = {channel for name, channel in names.items() if request.query.get(name) in ("1", "true")}
    tty = request.query.get("tty") in ("1", "true")
    if not wanted:
        raise web.HTTPBadRequest(text="you must specify at least 1 of stdin, stdout, stderr")
    return (wanted - {STDERR} | {RESIZE} if tty else wanted) | {ERROR}, tty


async def _talk(
    request: web.Request, wanted: set[int], conversation: Callable[[Client], Coroutine[None, None, None]]
) -> web.StreamResponse:
    """Upgrade to channels, over the client's protocol, and run a session on them."""
    if upgrades.is_websocket(request):
        socket = await upgrades.websocket(request, upgrades.agree(request, channels.WEBSOCKET_PROTOCOLS))
        client = channels.WebsocketClient(socket, wanted)
        with contextlib.suppress(ConnectionError):
            await client.open()
            await conversation(client)
        return socket
    protocol = upgrades.agree(request, channels.SPDY_PROTOCOLS)
    response, connection = await upgrades.spdy_connection(request, protocol)
    streams = channels.SpdyClient(connection)
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await streams.open(wanted)
            await conversation(streams)
    finally:
        await streams.close()
    return response


def _ports(request: web.Request) -> list[int]:
    """Read ?port=80,81&port=82."""
    numbers = [text for value in request.query.getall("port", []) for text in value.split(",")]
    ports = [int(text) for text in numbers if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 16]
    if not ports or len(ports) != len(numbers) or len(ports) > 1 << 7:
        raise web.HTTPBadRequest(text="query parameter 'port' must hold port numbers between 1 and 65535")
    return ports


def _log_options(request: web.Request) -> dict[str, Any]:
    """Read PodLogOptions. Raises HTTPUnprocessableEntity, as a kubelet does."""
    query = request.query
    try:
        numbers = {name: int(query[name]) if name in query else None for name in ("tailLines", "sinceSeconds", "limitBytes")}
        since = datetime.fromisoformat(query["sinceTime"]) if "sinceTime" in query else None
        stream = _STREAMS[query.get("stream", "")]
    except (ValueError, KeyError) as error:
        raise web.HTTPUnprocessableEntity(text="Invalid request.") from error
    if any(number is not None and number < 0 for number in numbers.values()):
        raise web.HTTPUnprocessableEntity(text="Invalid request.")
    return {
        "follow": query.get("follow") == "true",
        "tail_lines": numbers["tailLines"],
        "since_seconds": numbers["sinceSeconds"],
        "since_time": since,
        "timestamps": query.get("timestamps") == "true",
        "limit_bytes": numbers["limitBytes"],
        "stream": cast("Any", stream),
    }
