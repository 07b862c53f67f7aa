"""The kubelet server with programs of this machine behind it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package

import machine


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[machine.Kubelet]:
    async with machine.running(tmp_path) as kubelet:
        yield kubelet
