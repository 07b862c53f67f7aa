"""The supervisor, with a program that starts and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meshcourse.cluster import bring_up
from meshcourse.cluster.components import Component
from meshcourse.cluster.supervisor import Supervisor
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


async def test_a_program_that_was_never_there_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_ENGINE", str(tmp_path))
    async with Supervisor(tmp_path, {}, lambda: None) as supervisor:
        with pytest.raises(EngineError, match="The upstream program etcd is missing"):
            await supervisor.start(Component("etcd", ()))


def test_a_file_about_the_cluster_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bring_up._tell(tmp_path / "nowhere" / "status.json", [])
    assert "keeps what it said before" in caplog.text
