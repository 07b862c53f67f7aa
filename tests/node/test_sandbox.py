"""A container that cannot be created."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcourse.core.errors import ClusterError
from meshcourse.node.container import sandbox
from meshcourse.node.images import Image


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_what_stops_a_container_is_said_and_nothing_stays_open(tmp_path: Path) -> None:
    spec = sandbox.Spec(
        key="pod/app",
        netns=tmp_path / "nowhere",
        image=Image(names=("none",), identity="none"),
        argv=("true",),
        environment={},
        etc=tmp_path,
        scratch=tmp_path / "scratch",
        layers=tmp_path / "layers",
        uid=os.getuid(),
        gid=os.getgid(),
        stdin=True,
    )
    before = open_files()
    with pytest.raises(ClusterError, match="pod/app could not be made") as failed:
        await sandbox.start(spec, sandbox.Host.found())
    assert "nsenter: cannot open" in failed.value.why
    assert "nowhere" in failed.value.why
    assert open_files() == before
