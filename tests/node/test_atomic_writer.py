"""Files of a volume: swapped at once, with the wanted modes and owners."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from meshcourse.node.volume import atomic_writer
from meshcourse.node.volume.atomic_writer import File


def shown(folder: Path) -> dict[str, str]:
    """What a program sees in the folder."""
    visible = [path for path in folder.iterdir() if not path.name.startswith("..")]
    files = [inner for path in visible for inner in ([path] if path.is_file() else sorted(path.resolve().rglob("*"))) if inner.is_file()]
    data = (folder / "..data").resolve()
    return {str(path.resolve().relative_to(data)): path.read_text(encoding="utf-8") for path in files}


def test_contents_are_replaced_by_one_rename_of_a_link(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {"a": File(b"1", 0o644), "deep/er/b": File(b"2", 0o644)})
    before = (tmp_path / "..data").readlink()
    held = (tmp_path / "a").open(encoding="utf-8")
    atomic_writer.write(tmp_path, {"a": File(b"new", 0o644), "c": File(b"3", 0o644)})
    assert shown(tmp_path) == {"a": "new", "c": "3"}
    assert (tmp_path / "..data").readlink() != before
    assert not (tmp_path / before).exists()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["a", "c"]
    with held:
        assert held.read() == "1"


def test_a_name_is_a_link_into_the_data_folder(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {"deep/b": File(b"2", 0o644)})
    assert str((tmp_path / "deep").readlink()) == "..data/deep"
    assert str((tmp_path / "..data").readlink()).startswith("..20")


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {"open": File(b"", 0o666), "d/shut": File(b"", 0o400)})
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o666
    assert stat.S_IMODE((tmp_path / "d" / "shut").stat().st_mode) == 0o400
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755


def test_an_empty_volume_can_be_filled_later(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {})
    assert (tmp_path / "..data").is_dir()
    atomic_writer.write(tmp_path, {"a": File(b"1", 0o644)})
    assert shown(tmp_path) == {"a": "1"}


def test_folders_that_other_volumes_are_mounted_on_stay(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    atomic_writer.write(tmp_path, {"a": File(b"1", 0o644)})
    atomic_writer.write(tmp_path, {"b": File(b"1", 0o644)})
    assert (tmp_path / "inner").is_dir()


@pytest.mark.parametrize("path", ["../x", "/x", "..x", "a/../../x", ""])
def test_a_path_cannot_leave_the_volume(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        atomic_writer.write(tmp_path, {path: File(b"", 0o644)})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_contents(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {"a": File(b"1", 0o644)})
    with pytest.raises(OSError, match=r".+"):
        atomic_writer.write(tmp_path, {"b": File(b"", 0o644), "b/c": File(b"", 0o644)})
    assert shown(tmp_path) == {"a": "1"}
    assert len(list(tmp_path.iterdir())) == 3


def test_the_group_owns_and_may_read_but_not_write_files(tmp_path: Path) -> None:
    group = tmp_path.stat().st_gid  # the one group that every user may give files to
    atomic_writer.write(tmp_path, {"d/a": File(b"", 0o600)}, group=group)
    assert stat.S_IMODE((tmp_path / "d" / "a").stat().st_mode) == 0o640
    assert (tmp_path / "d").stat().st_mode & stat.S_ISGID


def test_the_group_may_write_an_empty_dir_and_what_is_made_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir(0o700)
    atomic_writer.give_to_group(folder, folder.stat().st_gid, read_only=False)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
