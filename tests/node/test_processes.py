"""A process as the node runs it: exit codes, output for several readers, stdin, terminals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from meshcourse.node.process.processes import Outputs, Process, StalledReader

pytestmark = pytest.mark.asyncio

gives_away = pytest.mark.skipif(os.getuid() != 0, reason="only root may give a pipe away")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def everything(outputs: Outputs) -> dict[str, bytes]:
    received: dict[str, bytes] = {"stdout": b"", "stderr": b""}
    async for stream, chunk in outputs:
        received[stream] += chunk
    return received


async def until(outputs: Outputs, wanted: bytes) -> bytes:
    """Read until `wanted` has been seen."""
    received = b""
    async with asyncio.timeout(10):
        while wanted not in received:
            received += (await anext(outputs))[1]
    return received


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)])
async def test_exit_code_is_what_a_shell_would_say(script: str, code: int) -> None:
    process = await Process.start(["sh", "-c", script])
    assert await process.wait() == code
    assert process.returncode == code
    process.close()


async def test_a_program_that_does_not_exist_is_an_os_error_and_leaves_no_open_file() -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError):
        await Process.start(["no-such-program-here"], stdin=True)
    assert open_files() == before


async def test_nothing_stays_open_after_a_process_has_ended() -> None:
    before = open_files()
    for tty in (False, True):
        process = await Process.start(["sh", "-c", "echo here"], stdin=True, tty=tty)
        await everything(process.outputs())
        await process.wait()
        process.close()
    assert open_files() == before


async def test_stdout_and_stderr_stay_apart() -> None:
    process = await Process.start(["sh", "-c", "echo out; echo err >&2"], env={"PATH": os.environ["PATH"]})
    assert await everything(process.outputs()) == {"stdout": b"out\n", "stderr": b"err\n"}


async def test_output_written_before_anybody_listens_is_not_lost() -> None:
    process = await Process.start(["sh", "-c", "echo early"])
    await process.wait()
    assert (await everything(process.outputs()))["stdout"] == b"early\n"
    assert (await everything(process.outputs()))["stdout"] == b""


async def test_large_output_arrives_whole_though_the_reader_is_slow() -> None:
    size = 20_000_000
    process = await Process.start(["head", "-c", str(size), "/dev/zero"])
    outputs = process.outputs()
    await process_is_blocked_on_its_pipe(process)
    assert len((await everything(outputs))["stdout"]) == size


async def process_is_blocked_on_its_pipe(process: Process) -> None:
    """Wait until the kernel says that the program sleeps in a write: back-pressure reached it."""
    async with asyncio.timeout(10):
        while status(process.pid) != "S":  # noqa: ASYNC110 - the kernel sends no event for it
            await asyncio.sleep(0.01)


def status(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


async def test_a_stalled_second_reader_does_not_stall_the_program() -> None:
    process = await Process.start(["head", "-c", "5000000", "/dev/zero"])
    main, stalled = process.outputs(), process.outputs()
    assert len((await everything(main))["stdout"]) == 5_000_000
    assert await process.wait() == 0
    with pytest.raises(StalledReader):
        await everything(stalled)


async def test_a_reader_that_leaves_takes_nothing_from_the_others() -> None:
    process = await Process.start(["sh", "-c", "echo one; read line; echo two"], stdin=True)
    main, other = process.outputs(), process.outputs()
    assert await until(other, b"one\n")
    other.close()
    await process.write(b"\n")
    assert (await everything(main))["stdout"] == b"one\ntwo\n"


async def test_stdin_reaches_the_program_and_ends() -> None:
    process = await Process.start(["cat"], stdin=True)
    reading = asyncio.ensure_future(everything(process.outputs()))
    sent = os.urandom(3_000_000)
    await process.write(sent)
    await process.close_stdin()
    assert (await reading)["stdout"] == sent
    assert await process.wait() == 0


async def test_a_program_without_stdin_reads_end_of_file() -> None:
    process = await Process.start(["cat"])
    assert await process.wait() == 0


async def test_writing_to_a_program_that_reads_nothing_ends_with_the_program() -> None:
    process = await Process.start(["sleep", "60"], stdin=True)
    writing = asyncio.ensure_future(process.write(bytes(1_000_000)))
    while not process._writing.locked():  # noqa: ASYNC110 - the only sign that the pipe is full
        await asyncio.sleep(0)
    process.signal(signal.SIGKILL)
    async with asyncio.timeout(10):
        await writing
    assert await process.wait() == 137


async def test_a_child_left_behind_does_not_hold_the_output_open() -> None:
    process = await Process.start(["sh", "-c", "sleep 60 & echo $!"])
    async with asyncio.timeout(10):
        output = (await everything(process.outputs()))["stdout"]
    os.kill(int(output), signal.SIGKILL)


async def test_a_signal_to_the_group_reaches_children() -> None:
    process = await Process.start(["sh", "-c", "sleep 60; echo never"])
    process.signal(signal.SIGKILL, group=True)
    assert await process.wait() == 137
    assert await everything(process.outputs()) == {"stdout": b"", "stderr": b""}


async def test_dev_stdout_can_be_opened_again_by_the_owner() -> None:
    owner = (os.getuid(), os.getgid())
    process = await Process.start(["sh", "-c", "echo again > /dev/stdout; echo worse > /dev/stderr"], owner=owner)
    assert await everything(process.outputs()) == {"stdout": b"again\n", "stderr": b"worse\n"}


@gives_away
@pytest.mark.parametrize("tty", [False, True])
async def test_dev_stdout_can_be_opened_again_by_another_uid(*, tty: bool) -> None:
    script = "import os; os.setgid(1337); os.setuid(1337); open('/dev/stdout', 'w').write('1337')"
    process = await Process.start([sys.executable, "-c", script], owner=(1337, 1337), tty=tty)
    assert await everything(process.outputs()) == {"stdout": b"1337", "stderr": b""}


async def test_a_terminal_is_a_controlling_terminal_with_a_size() -> None:
    process = await Process.start(["sh", "-c", "read wait; stty size; test -t 0 && cat /dev/tty"], tty=True, stdin=True)
    outputs = process.outputs()
    process.resize(132, 43)
    await process.write(b"\n")
    assert b"43 132\r\n" in await until(outputs, b"132")
    await process.write(b"hello\n")
    await until(outputs, b"hello\r\nhello\r\n")
    await process.write(b"\x03")  # Ctrl-C: the terminal sends SIGINT to the foreground group
    async with asyncio.timeout(10):
        assert await process.wait() == 130


async def test_end_of_stdin_on_a_terminal_is_ctrl_d() -> None:
    process = await Process.start(["cat"], tty=True, stdin=True)
    await process.close_stdin()
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_descriptors_are_passed_on_only_when_asked_for() -> None:
    reading, writing = os.pipe()
    script = f"echo passed >&{writing}"
    process = await Process.start(["bash", "-c", script], pass_fds=(writing,))
    assert await process.wait() == 0
    assert os.read(reading, 100) == b"passed\n"
    process = await Process.start(["bash", "-c", script])
    assert await process.wait() != 0
    os.close(reading)
    os.close(writing)


@gives_away
async def test_the_hosts_dev_null_keeps_its_owner() -> None:
    before = Path(os.devnull).stat()
    process = await Process.start(["/bin/true"], owner=(1337, 1337))
    assert await process.wait() == 0
    after = Path(os.devnull).stat()
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
