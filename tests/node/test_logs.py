"""Container logs: a process's output is read whole, from the end, since a time, and while it grows."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from meshcourse.node.process import logs
from meshcourse.node.process.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pod" / "container" / "0.log"


@pytest.fixture
def writer(path: Path) -> Iterator[logs.LogWriter]:
    writer = logs.LogWriter(path, cap=100_000)
    writer.open()
    yield writer
    writer.close()


async def text(path: Path, **options: object) -> bytes:
    return b"".join([block async for block in logs.read(path, ended=lambda: True, **options)])  # type: ignore[arg-type]


async def test_a_process_writes_its_log_in_the_cri_format(path: Path) -> None:
    process = await Process.start(["sh", "-c", "echo out; echo err >&2; printf unfinished"])
    await logs.LogWriter(path).copy(process.outputs())
    records = path.read_bytes().splitlines()
    assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] \w+", record) for record in records)
    assert sorted(record[31:] for record in records) == [b"stderr F err", b"stdout F out", b"stdout P unfinished"]
    assert await text(path, stream="stdout") == b"out\nunfinished"
    assert await text(path, stream="stderr") == b"err\n"


async def test_a_log_that_is_not_there_yet_is_empty(path: Path) -> None:
    assert await text(path) == b""
    assert await text(path, tail_lines=5) == b""


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 50_000])
async def test_long_lines_come_back_as_one(path: Path, writer: logs.LogWriter, size: int) -> None:
    line = b"x" * size + b"\n"
    for start in range(0, len(line), 7000):
        writer.write("stdout", line[start : start + 7000])
    writer.write("stdout", b"next\n")
    assert all(len(record) < 17_000 for record in path.read_bytes().splitlines())
    assert await text(path) == line + b"next\n"
    assert await text(path, tail_lines=2) == line + b"next\n"
    stamped = (await text(path, timestamps=True)).splitlines(keepends=True)
    assert [one[31:] for one in stamped] == [line, b"next\n"]


async def test_bytes_that_are_no_text_come_back_unchanged(path: Path, writer: logs.LogWriter) -> None:
    garbage = bytes(range(256)) * 100
    writer.write("stdout", garbage + b"\n")
    assert await text(path) == garbage + b"\n"


@pytest.mark.parametrize("lines", [0, 1, 2, 999, 1000, 1001])
async def test_tail_counts_lines_from_the_end(path: Path, writer: logs.LogWriter, lines: int) -> None:
    written = [b"line %d\n" % number for number in range(1000)]
    for line in written:
        writer.write("stdout", line)
    assert await text(path, tail_lines=lines) == b"".join(written[len(written) - min(lines, 1000) :])


@pytest.mark.parametrize(("lines", "wanted"), [(0, b""), (1, b"end"), (2, b"two\nend"), (9, b"one\ntwo\nend")])
async def test_a_last_line_without_an_end_counts_and_stays_without_one(
    path: Path, writer: logs.LogWriter, lines: int, wanted: bytes
) -> None:
    writer.write("stdout", b"one\ntwo\nend")
    writer.close()
    assert await text(path, tail_lines=lines) == wanted


async def test_tail_goes_on_in_the_old_file(path: Path, writer: logs.LogWriter) -> None:
    written = [b"%09d\n" % number for number in range(3000)]  # 50 bytes each: one rotation, and half a new file
    for line in written:
        writer.write("stdout", line)
    assert path.with_name("0.log.1").exists()
    assert await text(path) == b"".join(written)
    for lines in (1, 500, 1000, 1001, 2500, 2999):
        assert await text(path, tail_lines=lines) == b"".join(written[-lines:])


async def test_one_old_file_is_all_that_is_kept(path: Path, writer: logs.LogWriter) -> None:
    for number in range(20_000):
        writer.write("stdout", b"%09d\n" % number)
    assert sorted(one.name for one in path.parent.iterdir()) == ["0.log", "0.log.1"]
    assert sum(one.stat().st_size for one in path.parent.iterdir()) <= 200_000 + 100
    assert (await text(path, tail_lines=1)) == b"000019999\n"


async def test_a_deleted_log_leaves_no_old_file(path: Path, writer: logs.LogWriter) -> None:
    for _ in range(3000):
        writer.write("stdout", b"%09d\n" % 1)
    assert len(list(path.parent.iterdir())) == 2
    logs.delete(path)
    assert list(path.parent.iterdir()) == []


async def test_limit_cuts_at_the_byte(path: Path, writer: logs.LogWriter) -> None:
    writer.write("stdout", b"0123456789\n0123456789\n")
    assert await text(path, limit_bytes=15) == b"0123456789\n0123"


async def test_since_leaves_out_what_is_older(path: Path) -> None:
    path.parent.mkdir(parents=True)
    now = datetime.now(UTC)
    moments = [now - timedelta(seconds=ago) for ago in (120, 60, 5)]
    path.write_text("".join(f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z stdout F {n}\n" for n, moment in enumerate(moments)))
    assert await text(path, since_seconds=90) == b"1\n2\n"
    assert await text(path, since_time=moments[2]) == b"2\n"
    assert await text(path, since_time=now) == b""


async def test_a_follower_sees_each_line_at_once_and_ends_with_the_container(path: Path) -> None:
    process = await Process.start(["sh", "-c", "while read line; do echo got $line; done"], stdin=True)
    writing = asyncio.ensure_future(logs.LogWriter(path).copy(process.outputs()))
    async with asyncio.timeout(10), aclosing(logs.read(path, follow=True, ended=lambda: False)) as following:
        for line in (b"one\n", b"two\n"):
            await process.write(line)
            assert await anext(following) == b"got " + line
        await process.close_stdin()
        assert [block async for block in following] == []
    await writing


async def test_a_follower_without_a_writer_asks_whether_the_container_has_ended(path: Path) -> None:
    answers = iter([False, True])
    async with asyncio.timeout(10):
        assert [block async for block in logs.read(path, follow=True, ended=lambda: next(answers))] == []


async def test_rotation_loses_no_line_of_a_follower(path: Path) -> None:
    writer = logs.LogWriter(path, cap=10_000)
    writer.open()
    followed = bytearray()

    async def follow() -> None:
        async for block in logs.read(path, follow=True, ended=lambda: False):
            followed.extend(block)

    following = asyncio.ensure_future(follow())
    written = [b"%09d\n" % number for number in range(5000)]
    for number, line in enumerate(written):
        writer.write("stdout", line)
        if number % 150 == 0:  # at most one rotation for each turn of the follower
            while len(followed) < (number + 1) * len(line):  # noqa: ASYNC110 - turns of the loop are what is counted
                await asyncio.sleep(0)
    writer.close()
    async with asyncio.timeout(10):
        await following
    assert bytes(followed) == b"".join(written)


async def test_an_idle_follower_waits_without_turning(path: Path, writer: logs.LogWriter) -> None:
    asked = 0

    def ended() -> bool:
        nonlocal asked
        asked += 1
        return False

    reading = asyncio.ensure_future(anext(aiter(logs.read(path, follow=True, ended=ended))))
    await asyncio.sleep(0.2)  # one that polls has asked several times by then
    assert not reading.done()
    assert asked <= 1
    writer.write("stdout", b"awake\n")
    assert await reading == b"awake\n"


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a small tmpfs")
async def test_a_full_disk_costs_the_log_and_says_so_later(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mounting = await Process.start(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(full)])
    if await mounting.wait() != 0:
        pytest.skip("no permission to mount")
    try:
        path = full / "0.log"
        writer = logs.LogWriter(path)
        writer.open()
        writer.write("stdout", b"first\n")
        (full / "ballast").write_bytes(bytes(4096 * 15))
        for _ in range(100):
            writer.write("stdout", b"lost" * 50 + b"\n")
        (full / "ballast").unlink()
        writer.write("stdout", b"last\n")
        writer.close()
        lines = (await text(path)).splitlines()
        assert lines[0] == b"first"
        assert lines[-1] == b"last"
        assert re.fullmatch(rb"meshcourse: \d+ bytes of this log were lost: no space", lines[-2])
    finally:
        assert await (await Process.start(["umount", str(full)])).wait() == 0
