"""The supervisor, with a program that starts and ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from meshcourse.cluster import bring_up
from meshcourse.cluster.components import Component
from meshcourse.cluster.supervisor import Health, Supervisor
from meshcourse.core.errors import EngineError

PROGRAM = "#!/bin/sh\nmv {here} {gone} && exit 3\n"


async def test_a_program_that_is_gone_for_a_while_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_ENGINE", str(tmp_path))
    here, gone, changed = tmp_path / "etcd", tmp_path / "gone", asyncio.Event()
    here.write_text(PROGRAM.format(here=here, gone=gone))
    here.chmod(0o755)
    async with asyncio.timeout(20), Supervisor(tmp_path, {"PATH": "/bin:/usr/bin"}, changed.set) as supervisor:

        async def until(state: str, last_exit: int | None, restarts: int) -> None:
            while (found := supervisor.health()[0]) and (found.state, found.last_exit, found.restarts) != (state, last_exit, restarts):
                changed.clear()
                await changed.wait()

        await supervisor.start(Component("etcd", ()))
        await until("waiting", 3, 1)
        await until("waiting", None, 2)
        gone.rename(here)
        await until("running", None, 2)


async def test_who_needs_a_program_that_was_away_for_long_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_ENGINE", str(tmp_path))
    fails, changed = tmp_path / "fails", asyncio.Event()
    for name, script in (("etcd", f"[ ! -e {fails} ] || exit 1; exec sleep 600"), ("kubernetes", "exec sleep 600")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    async with asyncio.timeout(40), Supervisor(tmp_path, {"PATH": "/bin:/usr/bin"}, changed.set) as supervisor:

        async def until(condition: Callable[[Health, Health], bool]) -> None:
            while not condition(*supervisor.health()):
                changed.clear()
                await changed.wait()

        await supervisor.start(Component("etcd", ()))
        await supervisor.start(Component("kube-apiserver", (), needs="etcd"))
        etcd, needing = supervisor.health()
        os.kill(etcd.pid, signal.SIGKILL)
        await until(lambda etcd, _: etcd.restarts == 1 and etcd.state == "running")
        fails.touch()
        os.kill(supervisor.health()[0].pid, signal.SIGKILL)
        await until(lambda etcd, _: etcd.restarts == 4)
        fails.unlink()
        await until(lambda etcd, _: etcd.state == "running")
        assert supervisor.health()[1] == needing
        await until(lambda etcd, needing: etcd.state == "running" and needing.restarts == 1)


async def test_a_program_that_was_never_there_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_ENGINE", str(tmp_path))
    async with Supervisor(tmp_path, {}, lambda: None) as supervisor:
        with pytest.raises(EngineError, match="The upstream program etcd is missing"):
            await supervisor.start(Component("etcd", ()))


def test_a_file_about_the_cluster_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bring_up._tell(tmp_path / "nowhere" / "status.json", [])
    assert "keeps what it said before" in caplog.text
