"""Lifecycle hooks: what a container runs right after its start (postStart) and before its end (preStop)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from meshcourse.node.probe import attempts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshcourse.core.json_types import Json

_SHOWN = 200


class HookFailed(Exception):  # noqa: N818 - reads as the sentence it is
    """The hook failed, or could not be run."""


async def run(handler: Json, container: Json, *, pod_ip: str, execute: Callable[[list[str]], Awaitable[tuple[int, bytes]]]) -> None:
    """Run one handler to its end. Raises HookFailed when the command's exit code is not 0, or no answer comes."""
    if "exec" in handler:
        command = handler["exec"].get("command") or []
        code, output = await execute(command)
        if code:
            said = output.decode(errors="replace").strip()[:_SHOWN]
            msg = f"command {' '.join(command)!r} exited with {code}" + (f": {said}" if said else "")
            raise HookFailed(msg)
    elif "httpGet" in handler:
        await _get(handler["httpGet"], container, pod_ip)
    elif "sleep" in handler:
        await asyncio.sleep(float(handler["sleep"].get("seconds", 0)))
    else:
        msg = f"a hook of kind {', '.join(handler) or 'nothing'} is not supported"
        raise HookFailed(msg)


async def _get(action: Json, container: Json, pod_ip: str) -> None:
    """Send the request; as in kubelet, any status is success."""
    try:
        url, headers = attempts.http_request(action, pod_ip, container, by="kube-lifecycle")
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=False):
            pass
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a port that the container does not name
        msg = f'Get "{action.get("path") or "/"}": {str(error) or type(error).__name__}'
        raise HookFailed(msg) from error
