"""Logs, exec, attach and port-forward of the kubelet API, called as kube-apiserver does."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import ssl
import struct
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from machine import Kubelet, Machine, contexts

from meshcourse.cluster.certificates import Authority, Identity
from meshcourse.node.process.logs import LogWriter
from meshcourse.node.process.processes import Process
from meshcourse.node.streaming.server import Server, server_tls

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
MAIN = "/default/pod/main"
V5 = ("v5.channel.k8s.io", "v4.channel.k8s.io")


class Conversation:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: defaultdict[int, bytearray] = defaultdict(bytearray)

    async def send(self, channel: int, data: bytes) -> None:
        await self.socket.send_bytes(bytes((channel,)) + data)

    async def until(self, channel: int, wanted: bytes) -> None:
        async with asyncio.timeout(10):
            while channel not in self.received or wanted not in self.received[channel]:
                message = await self.socket.receive_bytes()
                self.received[message[0]] += message[1:]

    async def end(self) -> dict[str, Any]:
        """Read to the end, and return the Status."""
        async with asyncio.timeout(30):
            async for message in self.socket:
                self.received[message.data[0]] += message.data[1:]
        assert self.socket.close_code == aiohttp.WSCloseCode.OK
        return json.loads(self.received[ERROR])  # type: ignore[no-any-return]


@asynccontextmanager
async def conversation(
    kubelet: Kubelet, call: str, *, command: tuple[str, ...] = (), protocols: tuple[str, ...] = V5, **wanted: int
) -> AsyncIterator[Conversation]:
    query = [*wanted.items(), *(("command", word) for word in command)]
    async with kubelet.session.ws_connect(kubelet.url + call + MAIN, params=query, protocols=protocols, max_msg_size=0) as socket:
        yield Conversation(socket)


async def gone(pid: int) -> bool:
    """Wait until a process that is not our child has ended."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        await asyncio.sleep(0.01)
    return False


async def test_only_a_client_with_a_certificate_is_served(kubelet: Kubelet, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    _, unknown = contexts(stranger)
    unknown.load_verify_locations(tmp_path / "both.pem")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=unknown)) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(kubelet.url + "/healthz")
    async with kubelet.session.get(kubelet.url + "/healthz") as answer:
        assert await answer.text() == "ok"


async def test_only_the_api_servers_own_certificate_is_let_in(tmp_path: Path) -> None:
    """Other certificates of the same authority are not accepted: they would bypass the API server's authorizers."""
    authority = Authority(tmp_path)
    ca = authority.create().certificate
    kubelet = authority.issue(Identity("kubelet", "system:node:n", hosts=("127.0.0.1",)))
    allowed, other = (authority.issue(Identity(name, name, ("system:masters",))) for name in ("kube-apiserver-kubelet-client", "admin"))
    tls = server_tls(kubelet.certificate, kubelet.key, allowed.certificate)
    async with Server(Machine(tmp_path / "log"), "127.0.0.1", 0, tls) as server:
        url = f"https://127.0.0.1:{server.port}/healthz"
        for pair, answers in ((allowed, True), (other, False)):
            client = ssl.create_default_context(cafile=str(ca))
            client.load_cert_chain(pair.certificate, pair.key)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as session:
                with contextlib.nullcontext() if answers else pytest.raises(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        assert await answer.text() == "ok"


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/containerLogs/default/other/main", 404, 'pod "other" does not exist'),
        ("/containerLogs/default/pod/other", 404, 'container "other" not found in pod "pod"'),
        ("/containerLogs/default/pod/waiting", 400, 'container "waiting" in pod "pod" is waiting to start: ContainerCreating'),
        ("/containerLogs/default/pod/main?tailLines=-1", 422, "Invalid request."),
        ("/containerLogs/default/pod/main?tailLines=many", 422, "Invalid request."),
        ("/containerLogs/default/pod/main?sinceTime=yesterday", 422, "Invalid request."),
        ("/exec/default/other/main?command=ls&output=1", 404, 'pod "other" does not exist'),
        ("/exec/default/pod/main?command=ls", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/default/pod/main?command=ls&output=1", 400, "unable to upgrade: the request asks neither for a websocket nor for SPDY/3.1"),
        ("/attach/default/pod/other?output=1", 404, 'container "other" not found in pod "pod"'),
        ("/portForward/default/other", 404, 'pod "other" does not exist'),
    ],
)
async def test_a_refusal_is_text_for_the_user(kubelet: Kubelet, path: str, code: int, text: str) -> None:
    async with kubelet.session.get(kubelet.url + path) as answer:
        assert (answer.status, await answer.text()) == (code, text)


async def test_pods_are_listed(kubelet: Kubelet) -> None:
    async with kubelet.session.get(kubelet.url + "/pods") as answer:
        assert (await answer.json())["items"] == kubelet.machine.pods()


async def test_logs_of_this_and_the_previous_instance(kubelet: Kubelet) -> None:
    for path, text in ((kubelet.machine.log_file, b"now\n"), (kubelet.machine.log_file.with_name("previous.log"), b"before\n")):
        writer = LogWriter(path)
        writer.open()
        writer.write("stdout", b"first\n" + text)
        writer.close()
    url = kubelet.url + "/containerLogs" + MAIN
    async with kubelet.session.get(url, params={"tailLines": 1}) as answer:
        assert await answer.read() == b"now\n"
    async with kubelet.session.get(url, params={"previous": "true", "sinceTime": "2020-01-01T00:00:00Z"}) as answer:
        assert await answer.read() == b"first\nbefore\n"


async def test_following_logs_ends_with_the_container(kubelet: Kubelet) -> None:
    writer = LogWriter(kubelet.machine.log_file)
    writer.open()
    async with kubelet.session.get(kubelet.url + "/containerLogs" + MAIN, params={"follow": "true"}) as answer:
        for line in (b"one\n", b"two\n"):
            writer.write("stdout", line)
            assert await answer.content.readline() == line
        writer.close()
        async with asyncio.timeout(10):
            assert await answer.read() == b""


async def test_exec_gives_both_outputs_and_success(kubelet: Kubelet) -> None:
    async with conversation(kubelet, "/exec", command=("sh", "-c", "echo out; echo err >&2"), output=1, error=1) as talk:
        assert talk.socket.protocol == V5[0]
        assert (await talk.end())["status"] == "Success"
        assert talk.received[STDOUT] == b"out\n"
        assert talk.received[STDERR] == b"err\n"


async def test_exec_gives_the_exit_code(kubelet: Kubelet) -> None:
    async with conversation(kubelet, "/exec", command=("sh", "-c", "exit 3"), output=1) as talk:
        status = await talk.end()
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}


async def test_exec_of_what_is_not_there_is_a_failure_with_words(kubelet: Kubelet) -> None:
    async with conversation(kubelet, "/exec", command=("no-such-program",), output=1) as talk:
        status = await talk.end()
    assert status["status"] == "Failure"
    assert "No such file" in status["message"]


async def test_exec_sends_nothing_on_a_channel_that_was_not_asked_for(kubelet: Kubelet) -> None:
    async with conversation(kubelet, "/exec", command=("sh", "-c", "echo out; echo err >&2"), error=1) as talk:
        await talk.end()
        assert STDOUT not in talk.received


async def test_the_oldest_protocol_says_failures_in_text(kubelet: Kubelet) -> None:
    async with conversation(kubelet, "/exec", command=("sh", "-c", "exit 3"), output=1, protocols=("channel.k8s.io",)) as talk:
        with pytest.raises(json.JSONDecodeError):
            await talk.end()
        assert talk.received[ERROR] == b"command terminated with non-zero exit code: exit status 3"


async def test_an_unknown_protocol_is_refused(kubelet: Kubelet) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with conversation(kubelet, "/exec", command=("true",), output=1, protocols=("v9.channel.k8s.io",)):
            pass
    assert refused.value.status == 403


async def test_fifty_megabytes_go_in_and_come_out_unchanged(kubelet: Kubelet) -> None:
    """As `kubectl cp` does both ways; the client reads only after it has sent, so back-pressure must not lose anything."""
    data = os.urandom(1_000_000)
    digest = hashlib.sha256()
    async with conversation(kubelet, "/exec", command=("sh", "-c", "cat; echo done >&2"), input=1, output=1, error=1) as talk:

        async def send() -> None:
            for _ in range(50):
                digest.update(data)
                for start in range(0, len(data), 32 * 1024):
                    await talk.send(STDIN, data[start : start + 32 * 1024])
            await talk.send(CLOSE, bytes((STDIN,)))

        sending = asyncio.ensure_future(send())
        assert (await talk.end())["status"] == "Success"
        await sending
        assert talk.received[STDERR] == b"done\n"
        assert hashlib.sha256(talk.received[STDOUT]).digest() == digest.digest()


async def test_text_frames_are_input_too(kubelet: Kubelet) -> None:
    async with conversation(kubelet, "/exec", command=("head", "-n", "1"), input=1, output=1, protocols=("v4.channel.k8s.io",)) as talk:
        await talk.socket.send_str("\0hällo\n")
        assert (await talk.end())["status"] == "Success"
        assert talk.received[STDOUT].decode() == "hällo\n"


async def test_input_after_the_program_closed_its_stdin_is_dropped(kubelet: Kubelet) -> None:
    async with conversation(kubelet, "/exec", command=("sh", "-c", "exec <&-; echo closed; sleep 0.2"), input=1, output=1) as talk:
        await talk.until(STDOUT, b"closed")
        for _ in range(10):
            await talk.send(STDIN, bytes(32 * 1024))
        assert (await talk.end())["status"] == "Success"


async def test_a_program_that_closed_its_output_is_still_fed(kubelet: Kubelet, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    script = f"exec cat >{copy} 2>&1"
    async with conversation(kubelet, "/exec", command=("sh", "-c", script), input=1, output=1, error=1) as talk:
        await talk.send(STDIN, b"late")
        await talk.send(CLOSE, bytes((STDIN,)))
        assert (await talk.end())["status"] == "Success"
    assert copy.read_bytes() == b"late"


async def test_a_terminal_is_resized_and_interrupted(kubelet: Kubelet) -> None:
    script = "trap 'echo interrupted; exit 9' INT; echo ready; while read line; do stty size; done"
    async with conversation(kubelet, "/exec", command=("bash", "-c", script), input=1, output=1, error=1, tty=1) as talk:
        await talk.until(STDOUT, b"ready")
        await talk.send(RESIZE, b'{"Width": 132, "Height": 43}')
        await talk.send(STDIN, b"\n")
        await talk.until(STDOUT, b"43 132")
        await talk.send(RESIZE, b"nonsense")
        await talk.send(STDIN, b"\x03")
        status = await talk.end()
    assert status["details"]["causes"][0]["message"] == "9"
    assert b"interrupted\r\n" in talk.received[STDOUT]


@pytest.mark.parametrize("tty", [0, 1])
async def test_a_client_that_leaves_ends_its_program_and_its_children(kubelet: Kubelet, tty: int) -> None:
    script = "sleep 600 & echo $$ $! .; wait"
    async with conversation(kubelet, "/exec", command=("sh", "-c", script), input=1, output=1, tty=tty) as talk:
        await talk.until(STDOUT, b".")
        pids = [int(word) for word in talk.received[STDOUT].split()[:2]]
    for pid in pids:
        assert await gone(pid)


async def attached(kubelet: Kubelet, script: str, *, tty: bool = False) -> tuple[Process, asyncio.Task[bytes]]:
    """A container's main process, and the task that writes its log."""
    process = await Process.start(["sh", "-c", script], stdin=True, tty=tty)
    kubelet.machine.process = process
    outputs = process.outputs()

    async def read() -> bytes:
        return b"".join([chunk async for _, chunk in outputs])

    return process, asyncio.ensure_future(read())


async def test_attach_joins_and_leaves_a_running_container(kubelet: Kubelet) -> None:
    process, log = await attached(kubelet, "while read line; do echo got $line; done")
    for word in (b"one", b"two"):
        async with conversation(kubelet, "/attach", input=1, output=1, error=1) as talk:
            await talk.send(STDIN, word + b"\n")
            await talk.until(STDOUT, b"got " + word)
            await talk.send(CLOSE, bytes((STDIN,)))  # without stdinOnce, stdin stays open for the next client
    assert process.returncode is None
    async with conversation(kubelet, "/attach", input=1, output=1, error=1) as talk:
        await talk.until(STDOUT, b"")
        await process.close_stdin()
        assert (await talk.end())["status"] == "Success"
    assert await log == b"got one\ngot two\n"


@pytest.mark.parametrize("tty", [False, True])
async def test_attach_to_a_container_with_stdin_once_ends_its_stdin(kubelet: Kubelet, *, tty: bool) -> None:
    process, log = await attached(kubelet, "cat", tty=tty)
    process.stdin_once = True
    async with conversation(kubelet, "/attach", input=1, output=1, error=1, tty=int(tty)) as talk:
        await talk.send(STDIN, b"hello\n")
        await talk.until(STDOUT, b"hello")
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    assert b"hello" in await log


async def test_a_client_without_stdin_cannot_end_a_container(kubelet: Kubelet) -> None:
    process, log = await attached(kubelet, "cat")
    process.stdin_once = True
    async with conversation(kubelet, "/attach", output=1) as talk:
        await talk.send(STDIN, b"ignored\n")
        await talk.send(CLOSE, bytes((STDIN,)))
    await process.write(b"heard\n")
    assert process.returncode is None
    process.signal(signal.SIGKILL)
    assert await process.wait() == 137
    assert await log in (b"", b"heard\n")


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    ended = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(end := asyncio.Event())
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        end.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    async with asyncio.timeout(10):
        for end in ended:
            await end.wait()


async def test_the_python_clients_port_forward_carries_each_port_on_its_channels(kubelet: Kubelet) -> None:
    url = kubelet.url + "/portForward/default/pod"
    async with (
        echo_server() as first,
        echo_server() as second,
        kubelet.session.ws_connect(url, params={"port": f"{first},{second}"}, protocols=("v4.channel.k8s.io",)) as socket,
    ):
        opening = [await socket.receive_bytes() for _ in range(4)]
        assert opening == [struct.pack("<BH", channel, port) for channel, port in enumerate((first, first, second, second))]
        for channel in (0, 2):
            await socket.send_bytes(bytes((channel,)) + b"ping %d" % channel)
        assert sorted([await socket.receive_bytes() for _ in range(2)]) == [b"\x00ping 0", b"\x02ping 2"]


async def test_a_port_that_nobody_listens_on_is_said_on_the_error_channel(kubelet: Kubelet) -> None:
    async with kubelet.session.ws_connect(kubelet.url + "/portForward/default/pod?port=1", protocols=("v4.channel.k8s.io",)) as socket:
        messages = [message.data async for message in socket]
    assert messages[-1][0] == 1
    assert messages[-1].endswith(b"failed to connect to 127.0.0.1:1 inside the pod: connection refused")


@pytest.mark.parametrize("query", ["", "?port=", "?port=0", "?port=65536", "?port=80,x"])
async def test_a_port_forward_without_sensible_ports_is_refused(kubelet: Kubelet, query: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await kubelet.session.ws_connect(kubelet.url + "/portForward/default/pod" + query, protocols=("v4.channel.k8s.io",))
    assert refused.value.status == 400
