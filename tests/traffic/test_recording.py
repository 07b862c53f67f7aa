from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from meshcourse.core.errors import TrafficError
from meshcourse.traffic import pacing, recording
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target

RESULTS = (
    Result(1000.0, 1000.0, 0.01, 200, "v1", size=23),
    Result(1000.1, 1000.1, 0.02, 200, "v2", size=23),
    Result(1000.2, 1000.25, 0.2, 0, fault="timeout", error="timeout: é did not answer"),
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a run.jsonl"
    with recording.Recorder(path, Target("http://x/", headers={"a": "b"}), pacing.constant(10, requests=3)) as recorder:
        for result in RESULTS:
            recorder.add(result)
    return path


def test_a_run_comes_back_as_it_was_saved(saved: Path) -> None:
    found = recording.load(saved)
    assert found.results == RESULTS
    assert found.pacing == {"shape": "constant", "rate": 10, "requests": 3}
    assert found.target["headers"] == {"a": "b"}
    assert len(saved.read_text().splitlines()) == 4


@pytest.mark.parametrize("shape", [pacing.constant(5, seconds=1), pacing.closed(seconds=1), pacing.Dial(7)])
def test_every_shape_can_be_described_in_a_header(shape: pacing.Pacing) -> None:
    assert json.loads(json.dumps(shape.describe()))["shape"]


@pytest.mark.parametrize(
    ("number", "line", "why"),
    [
        (1, "", "empty"),
        (1, "hello", "not JSON"),
        (1, '{"format":"har"}', "begins with"),
        (1, '{"format":"meshcourse-run","version":99,"target":{},"pacing":{}}', "version 99"),
        (1, '{"format":"meshcourse-run","version":1}', "target"),
        (3, '{"intended":1000.1,"star', "not JSON"),
        (3, "[]", "not a JSON object"),
        (3, '{"intended":1,"started":1,"status":200,"size":0}', "latency must be a number"),
        (3, '{"intended":NaN,"started":1,"latency":1,"status":200,"size":0}', "intended must be a number"),
        (3, '{"intended":1,"started":1,"latency":1,"status":"200","size":0}', "status must be a whole number"),
        (3, '{"intended":1,"started":1,"latency":1,"status":true,"size":0}', "status must be a whole number"),
        (3, '{"intended":1,"started":1,"latency":1,"status":200,"size":0,"version":7}', "version must be text"),
        (3, '{"intended":1,"started":1,"latency":1,"status":200,"size":0,"evil":1}', "evil"),
        (3, '{"a":' * 3000, "not JSON"),
        (3, "\x00\x01", "not JSON"),
    ],
)
def test_a_broken_file_names_its_line(saved: Path, number: int, line: str, why: str) -> None:
    lines = saved.read_text().splitlines()
    lines[number - 1] = line
    saved.write_text("\n".join(lines) + "\n")
    with pytest.raises(TrafficError) as caught:
        recording.load(saved)
    assert f"Line {number} of {saved}" in caught.value.what
    assert why in caught.value.why
    assert f"'{saved}'" in caught.value.next


def test_a_file_that_is_not_there_or_holds_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="cannot be read"):
        recording.load(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\n")
    with pytest.raises(TrafficError, match="Line 1"):
        recording.load(tmp_path / "bytes")


def test_what_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="cannot be saved"), recording.Recorder(tmp_path, Target("http://x/"), pacing.Dial(1)):
        pass


async def test_a_replay_keeps_the_gaps(saved: Path) -> None:
    found, times = [], []

    def receive(result: Result) -> None:
        found.append(result)
        times.append(time.monotonic())

    await recording.replay(recording.load(saved), receive)
    assert tuple(found) == RESULTS
    assert times[1] - times[0] >= 0.1
    assert times[2] - times[0] >= 0.38
    await recording.replay(recording.load(saved), receive, speed=100)
    assert len(found) == 6
    assert times[5] - times[3] < 0.3


async def test_a_replay_can_be_cancelled(saved: Path) -> None:
    found: list[Result] = []
    came = asyncio.Event()

    def receive(result: Result) -> None:
        found.append(result)
        came.set()

    running = asyncio.create_task(recording.replay(recording.load(saved), receive, speed=0.01))
    await came.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(found) == 1


async def test_a_replay_needs_a_speed(saved: Path) -> None:
    with pytest.raises(TrafficError, match="speed"):
        await recording.replay(recording.load(saved), lambda _: None, speed=0)
