"""One attempt of one probe."""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import yarl
from multidict import CIMultiDict

from meshcourse.node.probe import grpc_health
from meshcourse.node.spec import environment

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json

Exec = Callable[[list[str]], Awaitable[tuple[int, bytes]]]
"""Run a command in the container: exit code and combined output. Cancelling it must end the command.

Raises LookupError or OSError when it cannot run.
"""

_LONGEST_OUTPUT = 10 * 1024
_REDIRECTS = 10
_LAST_PORT = 65535


@dataclass(frozen=True)
class Outcome:
    """The result of one attempt. `errored`: it could not be made, and counts as neither success nor failure."""

    ok: bool
    message: str
    warning: bool = False
    errored: bool = False


class _CannotProbe(Exception):  # noqa: N818 - reads as the sentence it is
    pass


async def check(
    probe: Json,
    *,
    pod_ip: str,
    container: Json,
    exec: Exec,  # noqa: A002 - the probe's own word
) -> Outcome:
    """Make one attempt. Never raises but for cancellation."""
    seconds = float(probe.get("timeoutSeconds") or 1)
    try:
        if "httpGet" in probe:
            return await _http(probe["httpGet"], pod_ip, container, seconds)
        if "tcpSocket" in probe:
            return await _tcp(probe["tcpSocket"], pod_ip, container, seconds)
        if "exec" in probe:
            return await _exec(probe["exec"], container, exec, seconds)
        if "grpc" in probe:
            return await _grpc(probe["grpc"], pod_ip, seconds)
    except (_CannotProbe, LookupError, ValueError) as error:
        return Outcome(ok=False, message=str(error), errored=True)
    return Outcome(ok=False, message=f"missing probe handler for {container['name']}", errored=True)


def port_number(port: int | str, container: Json) -> int:
    """The number of a probe's port, which may be the name of one of the container's. Raises ValueError."""
    if isinstance(port, str):
        named = next((each["containerPort"] for each in container.get("ports") or [] if each.get("name") == port), None)
        if named is None and not port.isdigit():
            msg = f"port {port} not found"
            raise ValueError(msg)
        port = int(port) if named is None else int(named)
    if not 0 < port <= _LAST_PORT:
        msg = f"invalid port number: {port}"
        raise ValueError(msg)
    return port


def http_request(action: Json, pod_ip: str, container: Json, *, by: str = "kube-probe") -> tuple[yarl.URL, CIMultiDict[str]]:
    """The URL and headers of an httpGet probe or hook. `by` is the User-Agent. Raises ValueError."""
    host = action.get("host") or pod_ip
    host = f"[{host}]" if ":" in host else host
    path = action.get("path") or "/"
    url = yarl.URL(f"{(action.get('scheme') or 'HTTP').lower()}://{host}:{port_number(action['port'], container)}/{path.removeprefix('/')}")
    headers = CIMultiDict[str]((each["name"], each.get("value", "")) for each in action.get("httpHeaders") or [])
    headers.setdefault("User-Agent", f"{by}/1.36")
    if headers.setdefault("Accept", "*/*") == "":
        del headers["Accept"]
    return url, headers


async def _http(action: Json, pod_ip: str, container: Json, seconds: float) -> Outcome:
    first, headers = http_request(action, pod_ip, container)
    url = first
    try:
        async with asyncio.timeout(seconds), _session() as session:
            for _ in range(_REDIRECTS):
                async with session.get(url, headers=headers, allow_redirects=False, ssl=_unverified()) as response:
                    body = (await response.content.read(_LONGEST_OUTPUT)).decode(errors="replace")
                    location = response.headers.get("Location")
                    if not 300 <= response.status < 400:  # noqa: PLR2004 - HTTP's own border
                        ok = 200 <= response.status < 300  # noqa: PLR2004 - HTTP's own border
                        return Outcome(ok=ok, message=body if ok else f"HTTP probe failed with statuscode: {response.status}")
                target = None if location is None else url.join(yarl.URL(location))
                if target is None or target.host != first.host:
                    return Outcome(ok=True, warning=True, message=f"Probe terminated redirects, Response body: {body}")
                url = target
            return Outcome(ok=False, message=f'Get "{url}": stopped after {_REDIRECTS} redirects')
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    except aiohttp.ServerDisconnectedError:
        why = "EOF"
    except aiohttp.ClientConnectorError as error:
        why = _dial(f"{url.host}:{url.port}", error.os_error)
    except (aiohttp.ClientError, OSError) as error:
        why = str(error) or type(error).__name__
    return Outcome(ok=False, message=f'Get "{url}": {why}')


async def _tcp(action: Json, pod_ip: str, container: Json, seconds: float) -> Outcome:
    host, port = action.get("host") or pod_ip, port_number(action["port"], container)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(ok=False, message=f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(ok=False, message=_dial(f"{host}:{port}", error))
    writer.close()
    return Outcome(ok=True, message="")


async def _exec(action: Json, container: Json, run: Exec, seconds: float) -> Outcome:
    static = {each["name"]: each["value"] for each in container.get("env") or [] if each.get("value")}
    command = [environment.expand(word, static) for word in action.get("command") or []]
    try:
        async with asyncio.timeout(seconds):
            code, output = await run(command)
    except TimeoutError:
        return Outcome(ok=False, message=f"command timed out: {json.dumps(' '.join(command))} timed out after {seconds:g}s")
    except OSError as error:
        raise _CannotProbe(error.strerror or str(error)) from error
    return Outcome(ok=code == 0, message=output[:_LONGEST_OUTPUT].decode(errors="replace"))


async def _grpc(action: Json, pod_ip: str, seconds: float) -> Outcome:
    address = f"{pod_ip}:{action['port']}"
    try:
        async with asyncio.timeout(seconds):
            answer = await grpc_health.ask(pod_ip, int(action["port"]), action.get("service") or "")
    except TimeoutError:
        return Outcome(ok=False, message=f"timeout: health rpc did not complete within {seconds:g}s")
    except (OSError, EOFError) as error:
        return Outcome(ok=False, message=f'error: failed to connect service at "{address}": {_dial(address, error)}')
    if answer is None:
        return Outcome(ok=False, message="error: health rpc probe failed: the server answered without a health status")
    if answer != "SERVING":
        return Outcome(ok=False, message=f'service unhealthy (responded with "{answer}")')
    return Outcome(ok=True, message="service healthy")


def _session() -> aiohttp.ClientSession:
    """Open a session for one attempt: a kubelet's probe makes a new connection each time, so that it notices a full backlog."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True), auto_decompress=False, skip_auto_headers=["Accept-Encoding"], trust_env=False
    )


@functools.cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _dial(address: str, error: BaseException) -> str:
    """A failed connection in Go's words, which is what searches for the message find."""
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {address}: connect: connection refused"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {address}: connect: {error.strerror.lower()}"
    return f"dial tcp {address}: {str(error) or type(error).__name__}"
