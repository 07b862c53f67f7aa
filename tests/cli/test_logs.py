"""`meshcourse logs`: the last lines, and new ones, also after the file was rotated."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.cli import logs
from meshcourse.core.errors import ClusterError


def test_tail_gives_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    path.write_text("".join(f"line {number}\n" for number in range(10)))
    assert list(logs.lines(path, tail=2, follow=False)) == ["line 8\n", "line 9\n"]
    assert list(logs.lines(path, tail=0, follow=False)) == []


def test_follow_goes_on_across_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    path.write_text("old\n")
    following = logs.lines(path, tail=5, follow=True)
    assert next(following) == "old\n"
    with path.open("a") as file:
        file.write("appended\n")
    assert next(following) == "appended\n"
    path.rename(tmp_path / "etcd.log.1")
    path.write_text("after the rotation\n")
    assert next(following) == "after the rotation\n"
    following.close()


def test_an_unknown_component_is_told_those_that_there_are(tmp_path: Path) -> None:
    for name in ("etcd", "node"):
        (tmp_path / f"{name}.log").touch()
    with pytest.raises(ClusterError, match="kubelet") as refused:
        logs.find(tmp_path, "kubelet", "meshcourse")
    assert "etcd, node" in refused.value.why


def test_a_name_cannot_lead_out_of_the_logs_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.log").touch()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "etcd.log").touch()
    with pytest.raises(ClusterError):
        logs.find(tmp_path / "logs", "../secret", "meshcourse")
