"""Hooks by HTTP: any answer is a success, no answer is a failure."""

from __future__ import annotations

import pytest
from aiohttp import web

from meshcourse.node.container import hooks

CONTAINER = {"name": "app", "ports": []}


async def execute(_command: list[str]) -> tuple[int, bytes]:
    raise AssertionError


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_an_answer_is_enough_whatever_its_status(status: int) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["User-Agent"])
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/hook", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        handler = {"httpGet": {"path": "/hook", "port": runner.addresses[0][1]}}
        await hooks.run(handler, CONTAINER, pod_ip="127.0.0.1", execute=execute)
    finally:
        await runner.cleanup()
    assert asked == ["kube-lifecycle/1.36"]


@pytest.mark.parametrize(("port", "words"), [(1, "127.0.0.1:1"), ("web", "port web not found")])
async def test_a_hook_that_nobody_answers_has_failed(port: int | str, words: str) -> None:
    with pytest.raises(hooks.HookFailed, match=words):
        await hooks.run({"httpGet": {"port": port}}, CONTAINER, pod_ip="127.0.0.1", execute=execute)
