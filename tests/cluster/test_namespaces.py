"""The guard, init and node processes: no process may remain when any of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcourse.cluster import namespaces

PROGRAM = """
import os, sys, time
from meshcourse.cluster import namespaces
def node():
    os.makedirs("/run/only-inside")
    if os.fork() == 0:  # a program that the node started
        time.sleep(600)
    print(os.getpid(), os.getuid(), os.listdir("/run"), flush=True)
    time.sleep(600)
    return 0
sys.exit(namespaces.enter(node))
"""


def descendants(pid: int) -> list[int]:
    """`pid` and all below it, by the host's numbering."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += [int(word) for word in Path(f"/proc/{each}/task/{each}/children").read_text().split()]
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def guard() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    with process:
        yield process
        process.kill()


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["guard", "init", "node"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_one_of_the_three_is_killed(guard: subprocess.Popen[str], victim: int, number: int) -> None:
    assert guard.stdout
    said = guard.stdout.readline()
    assert said.split(maxsplit=2) == ["2", "0", "['only-inside']\n"]
    family = descendants(guard.pid)
    assert len(family) == 4
    os.kill(family[victim], number)
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in family[1:]):
        assert time.monotonic() < deadline, "a process of the cluster lives on"
        os.sched_yield()
    guard.wait(10)
    assert not Path("/run/only-inside").exists()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("ada:100000:65536\n", (100000, 65536)),
        ("bob:1:65536\n1000:200000:65536\n", (200000, 65536)),
        ("ada:100000:1000\n", None),
        ("", None),
        ("ada:x:y", None),
    ],
)
def test_the_first_range_that_is_large_enough_is_taken(text: str, ids: tuple[int, int] | None) -> None:
    assert namespaces.subordinate_ids(text, "ada", 1000) == ids
