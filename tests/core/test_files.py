from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshcourse.core import files


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    files.replace(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.replace(path, "new \ud800")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["record.json"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_lock_lasts_as_long_as_any_process_that_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not files.is_locked(path)
    descriptor = files.claim(path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    os.close(descriptor)
    assert files.is_locked(path)
    with pytest.raises(BlockingIOError):
        files.claim(path)
    child.communicate(b"\n")
    assert not files.is_locked(path)


def test_processes_that_only_look_do_not_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    look = files.lock(path, shared=True)
    assert not files.is_locked(path)
    os.close(look)
    os.close(files.claim(path))
