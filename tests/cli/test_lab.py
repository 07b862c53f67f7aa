"""What `meshcourse lab` starts: the course's first notebook, in a JupyterLab that asks nothing."""

from __future__ import annotations

import json
import secrets
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from meshcourse.cli import lab


def test_first_notebook_is_the_first_chapter_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "05_canary.ipynb").touch()
    (tmp_path / "04_bookinfo.ipynb").touch()
    assert lab.first(tmp_path) == "04_bookinfo.ipynb"
    (tmp_path / "00_start.ipynb").touch()
    assert lab.first(tmp_path) == "00_start.ipynb"


@pytest.mark.slow
def test_jupyterlab_takes_another_port_for_a_taken_one_and_asks_for_no_news_nor_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path / "settings"))
    token = secrets.token_hex(16)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(lab, "FIRST_PORT", taken.getsockname()[1])
        with lab._server(tmp_path, 0, token, {}) as server:
            port = lab._wait(server, token)
            assert port != lab.FIRST_PORT
            found = notifications(port, token)
    fields = found["schema"]["properties"]
    assert fields["fetchNews"]["default"] == "false"
    assert fields["checkForUpdates"]["default"] is False
    assert server.poll() is not None


def notifications(port: int, token: str) -> Any:
    url = f"http://127.0.0.1:{port}/lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)
