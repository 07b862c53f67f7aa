"""A real HTTP server (aiohttp's) on a free port, whose behaviour a test chooses by path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web


@dataclass
class Server:
    url: str
    requests: list[web.BaseRequest] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by a test, it releases the answers of /slow."""
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    connections: Callable[[], int] = lambda: 0

    async def received(self, number: int) -> None:
        """Wait until `number` requests have come."""
        async with asyncio.timeout(10), self.came:
            await self.came.wait_for(lambda: len(self.requests) >= number)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server("")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        found.requests.append(request)
        async with found.came:
            found.came.notify_all()
        match request.path:
            case "/slow":
                await found.gate.wait()
            case "/broken":
                return web.Response(status=503, text="v9 is not here")
            case "/cut":
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b"half")
                assert request.transport is not None
                request.transport.abort()
                return response
        number = len(found.requests)
        return web.Response(text=f"<h1>hello from v{1 + number % 2}</h1>", headers={"x-version": f"h{1 + number % 2}"})

    low = web.Server(answer)
    runner = web.ServerRunner(low)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    found.url = f"http://127.0.0.1:{port}"
    found.connections = lambda: len(low.connections)
    yield found
    found.gate.set()
    await runner.cleanup()
