"""What `meshcourse lab` starts: the course's first notebook, in a JupyterLab that asks nothing."""

from __future__ import annotations

import json
import secrets
import urllib.request
from pathlib import Path

import pytest

from meshcourse.cli import lab


def test_first_notebook_is_the_first_chapter_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "05_canary.ipynb").touch()
    (tmp_path / "04_bookinfo.ipynb").touch()
    assert lab.first(tmp_path) == "04_bookinfo.ipynb"
    (tmp_path / "00_start.ipynb").touch()
    assert lab.first(tmp_path) == "00_start.ipynb"


@pytest.mark.slow
def test_jupyterlab_is_told_not_to_ask_for_news_nor_to_look_for_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path / "settings"))
    port, token = lab.free_port(18888), secrets.token_hex(16)
    with lab._server(tmp_path, port, token, {}) as server:
        lab._wait(server, port, token)
        url = f"http://127.0.0.1:{port}/lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = json.load(answer)
    fields = found["schema"]["properties"]
    assert fields["fetchNews"]["default"] == "false"
    assert fields["checkForUpdates"]["default"] is False
    assert server.poll() is not None
