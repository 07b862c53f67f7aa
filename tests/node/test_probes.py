"""Probes: the results of each kind with real servers, and what they do to a container. Their times: test_probe_times.py."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from meshcourse.core.json_types import Json
from meshcourse.engine import binaries
from meshcourse.node.probe import attempts, grpc_health, probes
from meshcourse.node.process.processes import Process

CONTAINER: Json = {"name": "app", "ports": [{"name": "web", "containerPort": 8080}], "env": [{"name": "WORD", "value": "hello"}]}


async def execute(command: list[str]) -> tuple[int, bytes]:
    """Run a command as a container's exec would."""
    process = await Process.start(command)
    said = b""
    try:
        async for _, chunk in process.outputs():
            said += chunk
        return await process.wait(), said
    finally:
        process.signal(9)
        process.close()


async def check(probe: Json, run: attempts.Exec = execute) -> probes.Outcome:
    return await probes.check(probe, pod_ip="127.0.0.1", container=CONTAINER, exec=run)


# attempts


@pytest.fixture
async def server() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Serve handlers by path; yields the port."""
    runners: list[web.AppRunner] = []

    async def serve(tls: ssl.SSLContext | None = None, **handlers: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> int:
        app = web.Application()
        app.add_routes([web.get(f"/{name}", handler) for name, handler in handlers.items()])
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    yield serve
    for runner in runners:
        await runner.cleanup()


def answering(status: int, **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text="details")

    return handler


@pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (400, False), (404, False), (503, False)])
async def test_http_is_judged_by_its_status(server: Any, status: int, ok: bool) -> None:  # noqa: FBT001
    port = await server(healthz=answering(status))
    outcome = await check({"httpGet": {"port": port, "path": "/healthz"}})
    assert (outcome.ok, outcome.errored) == (ok, False)
    if not ok:
        assert outcome.message == f"HTTP probe failed with statuscode: {status}"


async def test_http_sends_path_query_headers_and_its_name(server: Any) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response()

    port = await server(ready=handler)
    headers = [{"name": "Host", "value": "shop.example.com"}, {"name": "X-Probe", "value": "yes"}]
    assert (await check({"httpGet": {"port": port, "path": "/ready?deep=1", "httpHeaders": headers}})).ok
    assert seen[0].query == {"deep": "1"}
    assert seen[0].headers["Host"] == "shop.example.com"
    assert seen[0].headers["X-Probe"] == "yes"
    assert seen[0].headers["User-Agent"] == "kube-probe/1.36"
    assert "Accept-Encoding" not in seen[0].headers


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    pair = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nobody", "-days", "1", *pair]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    return tls


async def test_https_certificates_are_not_verified(server: Any, self_signed: ssl.SSLContext) -> None:
    port = await server(self_signed, healthz=answering(200))
    assert (await check({"httpGet": {"port": port, "path": "/healthz", "scheme": "HTTPS"}})).ok


async def test_redirects_are_followed_on_the_same_host_only(server: Any) -> None:
    port = await server(
        here=answering(302, Location="/bad"),
        bad=answering(500),
        away=answering(302, Location="http://example.com/"),
        loop=answering(301, Location="/loop"),
    )
    here, away, loop = [await check({"httpGet": {"port": port, "path": f"/{path}"}}) for path in ("here", "away", "loop")]
    assert here.message == "HTTP probe failed with statuscode: 500"
    assert (away.ok, away.warning) == (True, True)
    assert away.message == "Probe terminated redirects, Response body: details"
    assert (loop.ok, "stopped after 10 redirects" in loop.message) == (False, True)


async def test_http_that_does_not_answer_in_time_fails(server: Any) -> None:
    async def handler(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    port = await server(slow=handler)
    outcome = await check({"httpGet": {"port": port, "path": "/slow"}, "timeoutSeconds": 1})
    why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    assert outcome == probes.Outcome(ok=False, message=f'Get "http://127.0.0.1:{port}/slow": {why}')


async def closed_port() -> int:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_closed_port_is_told_in_gos_words() -> None:
    port = await closed_port()
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert await check({"tcpSocket": {"port": port}}) == probes.Outcome(ok=False, message=refused)
    assert await check({"httpGet": {"port": port, "path": "/x"}}) == probes.Outcome(
        ok=False, message=f'Get "http://127.0.0.1:{port}/x": {refused}'
    )


async def test_an_open_port_is_enough_for_tcp(server: Any) -> None:
    assert (await check({"tcpSocket": {"port": await server()}})).ok


@pytest.mark.parametrize(("port", "number"), [(8081, 8081), ("web", 8080), ("8082", 8082)])
def test_ports_have_names_or_numbers(port: int | str, number: int) -> None:
    assert attempts.port_number(port, CONTAINER) == number


@pytest.mark.parametrize(
    ("port", "words"), [("none", "port none not found"), (0, "invalid port number: 0"), ("70000", "invalid port number: 70000")]
)
async def test_a_port_that_cannot_be_is_an_error_and_no_failure(port: int | str, words: str) -> None:
    outcome = await check({"tcpSocket": {"port": port}})
    assert (outcome.errored, outcome.message) == (True, words)


async def test_exec_is_judged_by_its_exit_code_and_tells_its_output() -> None:
    assert (await check({"exec": {"command": ["true"]}})).ok
    failed = await check({"exec": {"command": ["sh", "-c", "echo $(WORD); echo sorry >&2; exit 3"]}})
    assert not failed.ok
    assert sorted(failed.message.split()) == ["hello", "sorry"]


async def test_exec_that_does_not_end_in_time_is_ended() -> None:
    running: list[Process] = []

    async def run(command: list[str]) -> tuple[int, bytes]:
        process = await Process.start(command)
        running.append(process)
        try:
            return await process.wait(), b""
        finally:
            process.signal(9)
            process.close()

    outcome = await check({"exec": {"command": ["sleep", "60"]}, "timeoutSeconds": 1}, run)
    assert outcome == probes.Outcome(ok=False, message='command timed out: "sleep 60" timed out after 1s')
    async with asyncio.timeout(5):
        assert await running[0].wait() == 137


async def test_exec_in_a_container_that_is_gone_is_an_error_and_no_failure() -> None:
    async def run(_command: list[str]) -> tuple[int, bytes]:
        raise LookupError("container not running")

    outcome = await check({"exec": {"command": ["true"]}}, run)
    assert (outcome.errored, outcome.message) == (True, "container not running")


async def test_grpc_asks_a_real_health_service() -> None:
    port = await closed_port()
    words = ["server", "-http-port", "disabled", "-tcp-port", "disabled", "-udp-port", "disabled", "-redirect-port", "disabled"]
    fortio = await Process.start([str(binaries.program("fortio")), *words, "-grpc-port", f"127.0.0.1:{port}"])
    try:
        async with asyncio.timeout(20):
            while not (outcome := await check({"grpc": {"port": port}})).ok:
                assert "connection refused" in outcome.message
                await asyncio.sleep(0.05)
        assert outcome.message == "service healthy"
        unknown = await check({"grpc": {"port": port, "service": "no.such.Service"}})
        assert (unknown.ok, unknown.message) == (False, "error: health rpc probe failed: the server answered without a health status")
    finally:
        fortio.signal(9)
        await fortio.wait()
        fortio.close()


async def test_grpc_at_a_server_that_speaks_something_else_fails(server: Any) -> None:
    outcome = await check({"grpc": {"port": await server(healthz=answering(200))}})
    assert not outcome.ok


@pytest.mark.parametrize(
    ("message", "status"),
    [(b"\0\0\0\0\x02\x08\x01", "SERVING"), (b"\0\0\0\0\x02\x08\x02", "NOT_SERVING"), (b"\0\0\0\0\0", "UNKNOWN"), (b"", None)],
)
def test_grpc_health_statuses(message: bytes, status: str | None) -> None:
    assert grpc_health.status(message) == status


# a container's probes together


class Watched:
    """A prober with its events; whether its exec probe succeeds depends on a file."""

    def __init__(self, container: Json) -> None:
        self.told: list[str] = []
        self.changed = asyncio.Event()
        self.prober = probes.Prober(
            {"name": "app", **container},
            pod_ip="127.0.0.1",
            exec=execute,
            on_change=self._change,
            on_liveness_failed=self._tell,
            on_event=lambda _type, reason, message: self._tell(f"{reason}: {message}"),
        )

    def _change(self) -> None:
        self._tell(f"started={self.prober.started} ready={self.prober.ready}")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, what: str) -> None:
        async with asyncio.timeout(20):
            while what not in self.told:
                self.changed.clear()
                await self.changed.wait()


def file_there(path: Path, **more: int) -> Json:
    return {"exec": {"command": ["test", "-e", str(path)]}, "periodSeconds": 1, **more}


async def running(watched: Watched, tell: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watched.prober.run())
        await tell()
        task.cancel()


async def test_a_container_without_probes_is_ready_at_once() -> None:
    watched = Watched({})
    assert (watched.prober.started, watched.prober.ready) == (True, True)
    async with asyncio.timeout(5):
        await watched.prober.run()


async def test_a_ready_container_is_seen_long_before_its_period_and_early_failures_are_not_told(tmp_path: Path) -> None:
    watched = Watched({"readinessProbe": file_there(tmp_path / "up", periodSeconds=600)})

    async def follow() -> None:
        await watched.until("Unhealthy: Readiness probe failed: ")
        (tmp_path / "up").touch()
        await watched.until("started=True ready=True")

    await running(watched, follow)
    assert watched.told == ["Unhealthy: Readiness probe failed: ", "started=True ready=True"]


async def test_readiness_is_lost_and_won_again(tmp_path: Path) -> None:
    up = tmp_path / "up"
    up.touch()
    watched = Watched({"readinessProbe": file_there(up, failureThreshold=2)})

    async def follow() -> None:
        await watched.until("started=True ready=True")
        up.unlink()
        await watched.until("started=True ready=False")

    await running(watched, follow)
    assert watched.told.count("Unhealthy: Readiness probe failed: ") == 2


async def test_a_failed_liveness_probe_asks_for_a_restart_once(tmp_path: Path) -> None:
    liveness = file_there(tmp_path / "up", failureThreshold=2)
    watched = Watched({"livenessProbe": liveness})
    async with asyncio.timeout(20):
        await watched.prober.run()
    failed = "Unhealthy: Liveness probe failed: "
    assert watched.told == [failed, failed, "Container app failed liveness probe"]
    assert watched.prober.failed_probe == liveness


async def test_other_probes_wait_for_the_startup_probe(tmp_path: Path) -> None:
    up, ready = tmp_path / "up", tmp_path / "ready"
    watched = Watched(
        {
            "startupProbe": file_there(up, failureThreshold=100),
            "livenessProbe": file_there(up, failureThreshold=1),
            "readinessProbe": file_there(ready, periodSeconds=600),
        }
    )

    async def follow() -> None:
        await watched.until("Unhealthy: Startup probe failed: ")
        assert not watched.prober.ready
        up.touch()
        await watched.until("started=True ready=False")
        ready.touch()
        await watched.until("started=True ready=True")

    await running(watched, follow)
    assert not [what for what in watched.told if "Liveness" in what]


async def test_a_container_that_does_not_start_up_in_time_is_restarted(tmp_path: Path) -> None:
    watched = Watched({"startupProbe": file_there(tmp_path / "up", failureThreshold=2)})
    async with asyncio.timeout(20):
        await watched.prober.run()
    assert watched.told[-1] == "Container app failed startup probe"
    assert not watched.prober.started


async def test_nothing_is_restarted_while_the_pod_ends(tmp_path: Path) -> None:
    watched = Watched({"livenessProbe": file_there(tmp_path / "up", failureThreshold=1, initialDelaySeconds=1)})
    watched.prober.terminating()
    async with asyncio.timeout(20):
        await watched.prober.run()
    assert watched.told == []
