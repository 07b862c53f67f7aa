"""exec and attach: a client's channels connected to a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Mapping
from typing import Any

from meshcourse.node.process.processes import Outputs, Process, StalledReader
from meshcourse.node.streaming.channels import RESIZE, STDERR, STDIN, STDOUT, Client

# Seconds between pings. While the program does not read its stdin, the connection is not read either, and only writing shows that the
# client has left: one ping to kube-apiserver's client, one that fails there, one that fails here.
_SIGN_OF_LIFE = 2.0
SUCCESS: Mapping[str, Any] = {"metadata": {}, "status": "Success"}


def failure(message: str) -> dict[str, Any]:
    """The Status for what the node could not do."""
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


def exit_status(code: int) -> Mapping[str, Any]:
    """The Status for an exit code, as in kubelet (k8s.io/kubelet/pkg/cri/streaming/remotecommand)."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def execute(client: Client, argv: list[str], *, tty: bool, stdin: bool) -> None:
    """Run `argv` for this client, to its end or until the client disconnects."""
    try:
        process = await Process.start(argv, tty=tty, stdin=stdin)
    except OSError as error:
        await client.finish(failure(f"error executing command in container: {error}"))
        return
    try:
        if await _converse(client, process, process.outputs(), stdin=stdin, ends_stdin=True):
            await client.finish(exit_status(await process.wait()))
    finally:
        process.signal(signal.SIGKILL, group=True)
        process.close()


async def attach(client: Client, process: Process, *, stdin: bool) -> None:
    """Connect this client to a running container, until either ends."""
    outputs = process.outputs()
    try:
        if await _converse(client, process, outputs, stdin=stdin, ends_stdin=process.stdin_once):
            await client.finish(SUCCESS)
    except StalledReader:
        await client.finish(failure("this client was too slow to take the container's output"))
    finally:
        outputs.close()
        if stdin and process.stdin_once:
            await process.close_stdin()


async def _converse(client: Client, process: Process, outputs: Outputs, *, stdin: bool, ends_stdin: bool) -> bool:
    """Copy both directions. True when the process has ended, False when the client has disconnected."""
    talking = asyncio.create_task(_talk(client, process, outputs))
    listening = _listen(client, process, stdin=stdin, ends_stdin=ends_stdin)
    others = [asyncio.create_task(listening), asyncio.create_task(_keep_asking(client))]
    try:
        ended, _ = await asyncio.wait((talking, *others), return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()  # an error does not end the session
        return talking.done() and talking.result()
    finally:
        for task in (talking, *others):
            task.cancel()
        await asyncio.gather(talking, *others, return_exceptions=True)


async def _talk(client: Client, process: Process, outputs: Outputs) -> bool:
    with contextlib.suppress(ConnectionError):
        async for stream, chunk in outputs:
            await client.send(STDOUT if stream == "stdout" else STDERR, chunk)
        await process.wait()  # one that has closed its output may still read
        return True
    return False


async def _listen(client: Client, process: Process, *, stdin: bool, ends_stdin: bool) -> None:
    async for channel, data in client.receive():
        if channel == RESIZE and data:
            _resize(process, data)
        elif channel == STDIN and stdin:
            if data is not None:
                await process.write(data)
            elif ends_stdin:
                await process.close_stdin()


async def _keep_asking(client: Client) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE)
            await client.ping()


def _resize(process: Process, data: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):  # an invalid size is ignored
        size = json.loads(data)
        process.resize(int(size["Width"]), int(size["Height"]))
