"""logs, exec, cp, attach and port-forward as users type them: kubectl and the Python client, through the real API server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import kubernetes
import pytest
import waiting
from kubernetes.stream import portforward, stream

from meshcourse.node.process.processes import Outputs, Process

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("shell")]

WEBSOCKETS = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS")


def pod(name: str, **container: Any) -> str:
    spec = {"containers": [{"name": "main", "image": "busybox", **container}], "terminationGracePeriodSeconds": 0}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


@pytest.fixture
def shell(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    """A pod `shell` for exec."""
    cluster.apply(namespace, pod("shell", command=["sh", "-c", "echo started; exec sleep 3600"]))
    wait_for(namespace, "pod/shell")


@pytest.fixture(params=["websocket", "SPDY"])
def environment(request: pytest.FixtureRequest, cluster: Any) -> Mapping[str, str]:
    """What makes kubectl speak one of its two protocols."""
    return {**cluster.environment, **dict.fromkeys(WEBSOCKETS, str(request.param == "websocket").lower())}


def kubectl(environment: Mapping[str, str], *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["kubectl", *words], env=environment, input=stdin, capture_output=True, timeout=60, check=False)


async def until(outputs: Outputs, wanted: bytes) -> bytes:
    received = b""
    async with asyncio.timeout(30):
        while wanted not in received:
            received += (await anext(outputs))[1]
    return received


@asynccontextmanager
async def terminal(environment: Mapping[str, str], *words: str) -> AsyncIterator[tuple[Process, Outputs]]:
    """A kubectl that detects a terminal."""
    process = await Process.start(["kubectl", *words], env=environment, tty=True, stdin=True)
    try:
        yield process, process.outputs()
    finally:
        process.signal(9)
        await process.wait()
        process.close()


def test_exec_keeps_outputs_apart_and_gives_the_exit_code(environment: Mapping[str, str], namespace: str) -> None:
    done = kubectl(environment, "exec", "-n", namespace, "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert done.returncode == 7
    assert done.stdout == b"out\n"
    assert done.stderr == b"err\ncommand terminated with exit code 7\n"


def test_exec_enters_the_container(environment: Mapping[str, str], namespace: str) -> None:
    done = kubectl(environment, "exec", "-n", namespace, "shell", "--", "hostname")
    assert done.stdout == b"shell\n"


def test_exec_of_an_unknown_container_says_which(environment: Mapping[str, str], namespace: str) -> None:
    done = kubectl(environment, "exec", "-n", namespace, "shell", "-c", "other", "--", "true")
    assert done.returncode == 1
    assert b"other" in done.stderr


def test_stdin_and_stdout_carry_megabytes_unchanged(environment: Mapping[str, str], namespace: str) -> None:
    sent = os.urandom(20_000_000)
    done = kubectl(environment, "exec", "-i", "-n", namespace, "shell", "--", "cat", stdin=sent)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()


def test_cp_there_and_back(environment: Mapping[str, str], namespace: str, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(50_000_000))
    for source, target in ((str(sent), f"{namespace}/shell:/tmp/copy"), (f"{namespace}/shell:/tmp/copy", str(back))):
        done = kubectl(environment, "cp", source, target)
        assert done.returncode == 0, done.stderr
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(sent.read_bytes()).digest()


async def test_an_interactive_shell_has_a_terminal(environment: Mapping[str, str], namespace: str) -> None:
    async with terminal(environment, "exec", "-it", "-n", namespace, "shell", "--", "sh") as (process, outputs):
        process.resize(101, 37)
        await until(outputs, b"#")
        await process.write(b"stty size\n")
        await until(outputs, b"37 101\r\n")
        process.resize(55, 22)
        await process.write(b"sleep 0.3; stty size\n")
        await until(outputs, b"22 55\r\n")
        await process.write(b"echo run''ning; sleep 1000\n")
        await until(outputs, b"running\r\n")  # what the terminal echoes still has the quotes
        await process.write(b"\x03")
        await until(outputs, b"#")
        await process.write(b"exit 5\n")
        async with asyncio.timeout(30):
            assert await process.wait() == 5


async def test_a_client_that_is_killed_ends_what_it_started(cluster: Any, environment: Mapping[str, str], namespace: str) -> None:
    process = await Process.start(
        ["kubectl", "exec", "-n", namespace, "shell", "--", "sh", "-c", "echo ready; exec sleep 4242"], env=environment
    )
    await until(process.outputs(), b"ready")
    process.signal(9)
    await process.wait()
    process.close()
    await asyncio.to_thread(waiting.until, lambda: "4242" not in cluster.kubectl("exec", "-n", namespace, "shell", "--", "ps"))


async def test_attach_joins_a_running_program(
    cluster: Any, environment: Mapping[str, str], namespace: str, wait_for: Callable[..., str]
) -> None:
    cluster.apply(namespace, pod("echo", command=["sh", "-c", "while read line; do echo got $line; done"], stdin=True))
    await asyncio.to_thread(wait_for, namespace, "pod/echo")
    process = await Process.start(["kubectl", "attach", "-i", "-n", namespace, "echo"], env=environment, stdin=True)
    outputs = process.outputs()
    await process.write(b"hello\n")
    await until(outputs, b"got hello\n")
    process.signal(9)
    await process.wait()
    process.close()
    assert cluster.get("pod", "echo", "-n", namespace)["status"]["phase"] == "Running"


def test_run_with_stdin_ends_with_its_input(environment: Mapping[str, str], namespace: str) -> None:
    done = kubectl(
        environment, "run", "-n", namespace, "counter", "--rm", "-i", "--restart=Never", "--image=busybox", "--", "wc", "-c", stdin=b"12345"
    )
    assert re.search(rb"^5$", done.stdout, re.MULTILINE), (done.stdout, done.stderr)


async def test_run_with_a_terminal_is_a_shell_that_leaves_nothing(cluster: Any, environment: Mapping[str, str], namespace: str) -> None:
    words = ("run", "-n", namespace, "mine", "--rm", "-it", "--restart=Never", "--image=busybox", "--", "sh")
    async with terminal(environment, *words) as (process, outputs):
        await process.write(b"\n")
        await until(outputs, b"#")
        await process.write(b"echo $((40 + 2))\n")
        await until(outputs, b"42\r\n")
        await process.write(b"echo run''ning; sleep 1000\n")
        await until(outputs, b"running\r\n")
        await process.write(b"\x03")  # Ctrl-C ends what runs in the shell, not the container
        await until(outputs, b"#")
        await process.write(b"exit 0\n")
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    assert "mine" not in cluster.kubectl("get", "pods", "-n", namespace, "-o", "name")


def test_logs_in_every_way(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    script = "for n in 1 2 3; do echo line $n; done; echo worse >&2; sleep 1; echo last"
    cluster.apply(namespace, pod("talker", command=["sh", "-c", script]).replace('"spec": {', '"spec": {"restartPolicy": "Never", '))
    followed = cluster.kubectl("logs", "-f", "-n", namespace, "talker", "--pod-running-timeout=20s") if started(cluster, namespace) else ""
    assert sorted(followed.splitlines()) == ["last", "line 1", "line 2", "line 3", "worse"]
    wait_for(namespace, "pod/talker", "jsonpath={.status.phase}=Succeeded")
    assert cluster.kubectl("logs", "-n", namespace, "talker", "--tail=1") == "last\n"
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z last\n", cluster.kubectl("logs", "-n", namespace, "talker", "--tail=1", "--timestamps")
    )
    assert cluster.kubectl("logs", "-n", namespace, "talker", "--limit-bytes=4") == "line"
    assert cluster.kubectl("logs", "-n", namespace, "talker", "--since=1h").count("\n") == 5


def started(cluster: Any, namespace: str) -> bool:
    """Wait for the container to have started; kubectl logs of one that has not is an error, as on any cluster."""
    cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.containerStatuses[0].started}=true", "pod/talker", "--timeout=20s")
    return True


def test_logs_of_a_container_that_cannot_start_say_why(cluster: Any, namespace: str) -> None:
    cluster.apply(namespace, pod("never", envFrom=[{"configMapRef": {"name": "absent"}}]))
    cluster.kubectl(
        "-n", namespace, "wait", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError",
        "pod/never", "--timeout=20s",
    )  # fmt: skip
    done = cluster.run("kubectl", "logs", "-n", namespace, "never", check=False)
    assert "is waiting to start: CreateContainerConfigError" in done.stderr


@contextmanager
def forwarding(environment: Mapping[str, str], namespace: str, target: str) -> Iterator[int]:
    """The local port of a running kubectl port-forward."""
    words = ["kubectl", "port-forward", "-n", namespace, *target.split()]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            yield int(found[1])
        finally:
            process.terminate()


@pytest.fixture
def web(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    """A pod `web` with nginx, which serves a large file too."""
    cluster.apply(namespace, pod("web", image="nginx"))
    wait_for(namespace, "pod/web")


@pytest.mark.usefixtures("web")
def test_port_forward_carries_many_connections(environment: Mapping[str, str], namespace: str) -> None:
    with forwarding(environment, namespace, "pod/web :80") as port:
        for _ in range(20):
            with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.status == 200
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:  # half closed by the client, then answered
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("web")
def test_the_python_client_execs_forwards_and_reads_logs(cluster: Any, namespace: str) -> None:
    core: kubernetes.client.CoreV1Api = cluster.connection.core()
    talk = stream(
        core.connect_get_namespaced_pod_exec, "shell", namespace, command=["sh"], stdin=True, stdout=True, stderr=True, tty=False,
        _preload_content=False,
    )  # fmt: skip
    talk.write_stdin("echo said; exit 4\n")
    talk.run_forever(timeout=20)
    assert (talk.read_stdout(), talk.returncode) == ("said\n", 4)
    assert core.read_namespaced_pod_log("shell", namespace) == "started\n"
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", namespace, ports="80")
    connection = forward.socket(80)
    connection.settimeout(20)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")
    connection.close()
    for opened in (talk.sock, forward.websocket):  # the client leaves its sockets open when the server closes
        opened.shutdown()
    core.api_client.rest_client.pool_manager.clear()
