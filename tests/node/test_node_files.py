from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcourse.node.volume import node_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("the machine's")
    folder = tmp_path / "files"
    node_files.prepare(folder, "mesh", "172.18.0.2")
    return folder


def test_a_folder_is_made_unless_its_type_forbids_it(root: Path) -> None:
    assert node_files.find(root, {"path": "/srv/a/b"}).is_dir()
    assert node_files.find(root, {"path": "/etc/hosts", "type": "File"}).read_text().startswith("127.0.0.1\tlocalhost\n")
    with pytest.raises(OSError, match="hostPath type check failed: /nowhere is not a directory"):
        node_files.find(root, {"path": "/nowhere", "type": "Directory"})
    assert not (root / "nowhere").exists()


@pytest.mark.parametrize("path", ["/out/secret", "/up/secret", "/../secret", "/tmp/../../secret"])
def test_no_path_and_no_link_leads_out_of_the_nodes_files(root: Path, path: str) -> None:
    (root / "out").symlink_to(root.parent)
    (root / "up").symlink_to("../../..")
    assert node_files.find(root, {"path": path}).is_relative_to(root)


def test_a_link_that_takes_a_folders_place_after_it_was_found_is_not_followed(root: Path) -> None:
    found = node_files.find(root, {"path": "/srv/a/b"})
    os.close(node_files.open_below(root, found))
    (root / "srv" / "a").rename(root / "srv" / "old")
    (root / "srv" / "a").symlink_to(root.parent)
    (root.parent / "b").mkdir()
    with pytest.raises(OSError, match="Not a directory"):
        node_files.open_below(root, found)
    (root / "srv" / "a").unlink()
    (root / "srv" / "a").mkdir()
    found.symlink_to(root.parent)
    with pytest.raises(OSError, match="has become a link"):
        node_files.open_below(root, found)
