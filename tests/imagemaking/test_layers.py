"""Layers and images: the same content gives the same bytes, and every engine's format agrees."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from meshcourse.core.errors import ClusterError
from meshcourse.imagemaking import archive, oci
from meshcourse.imagemaking.layers import Entry, Layer, Store, copied, tree


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def members(store: Store, layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(store.blob(layer.digest)) as tar:
        return {member.name: member for member in tar}


def test_equal_content_gives_equal_bytes_whenever_and_wherever_it_is_packed(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        source = tmp_path / name
        source.write_bytes(b"#!/bin/sh\n")
        os.utime(source, (len(made), len(made)))
        made.append(Store(tmp_path / f"store-{name}").layer((Entry("/usr/bin/it", 0o755, source=source),)))
    assert made[0] == made[1]


def test_a_layer_is_packed_once_and_anew_when_its_content_changes(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"a")
    second.write_bytes(b"b")
    layer = store.layer((Entry("/it", source=first),))
    before = store.blob(layer.digest).stat().st_mtime_ns
    assert store.layer((Entry("/it", source=first),)) == layer
    assert store.blob(layer.digest).stat().st_mtime_ns == before
    assert store.layer((Entry("/it", source=second),)) != layer
    assert store.layer((Entry("/it", 0o755, source=first),)) != layer


def test_a_blob_that_was_deleted_is_made_again(store: Store) -> None:
    layer = store.layer((Entry("/it", content=b"a"),))
    store.blob(layer.digest).unlink()
    assert store.layer((Entry("/it", content=b"a"),)) == layer
    assert store.blob(layer.digest).is_file()


def test_digests_are_those_of_the_compressed_and_of_the_plain_tar(store: Store) -> None:
    layer = store.layer((Entry("/it", content=b"a" * 5000),))
    packed = store.blob(layer.digest).read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
    assert layer.size == len(packed)


def test_members_are_roots_and_have_their_modes_links_and_folders(store: Store) -> None:
    entries = (
        Entry("/opt/bin/it", 0o755, content=b"a"),
        Entry("/opt/bin/same", 0o755, same_as="/opt/bin/it"),
        Entry("/tmp", 0o1777, folder=True),
        Entry("/it", link="/opt/bin/it"),
    )
    found = members(store, store.layer(entries))
    assert list(found) == ["opt", "opt/bin", "opt/bin/it", "opt/bin/same", "tmp", "it"]
    assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, 0)}
    assert (found["opt"].mode, found["opt/bin/it"].mode, found["tmp"].mode) == (0o755, 0o755, 0o1777)
    assert (found["it"].linkname, found["opt/bin/same"].linkname) == ("/opt/bin/it", "opt/bin/it")
    assert found["opt/bin/same"].islnk()


def test_a_trees_files_keep_whether_they_can_be_executed(tmp_path: Path) -> None:
    (tmp_path / "a" / "__pycache__").mkdir(parents=True)
    (tmp_path / "a" / "run").write_text("x")
    (tmp_path / "a" / "run").chmod(0o700)
    (tmp_path / "a" / "read").write_text("x")
    (tmp_path / "a" / "__pycache__" / "x.pyc").write_text("x")
    (tmp_path / "link").symlink_to("a/run")
    assert [(entry.path, entry.mode, entry.link) for entry in tree(tmp_path, "/opt")] == [
        ("/opt/a/read", 0o644, ""),
        ("/opt/a/run", 0o755, ""),
        ("/opt/link", 0o644, "a/run"),
    ]


def test_a_debian_root_loses_its_devices_and_times_and_keeps_its_owners(store: Store, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        for name, kind in (("./dev/null", tarfile.CHRTYPE), ("./etc", tarfile.DIRTYPE), ("./proc/x", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.mtime = kind, 42, 1000
            tar.addfile(member)
    found = members(store, store.remembered("key", copied(tmp_path / "root.tar")))
    assert list(found) == ["./etc"]
    assert (found["./etc"].uid, found["./etc"].mtime) == (42, 0)


def test_nothing_unfinished_is_taken_for_a_layer(store: Store) -> None:
    def broken(tar: tarfile.TarFile) -> None:
        tar.addfile(tarfile.TarInfo("half"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.remembered("key", broken)
    assert not list(store.folder.glob("*.new"))
    found = members(store, store.remembered("key", lambda tar: tar.addfile(tarfile.TarInfo("whole"))))
    assert list(found) == ["whole"]


def image(store: Store) -> oci.Stored:
    layer = store.layer((Entry("/it", 0o755, content=b"a"),))
    made = oci.Image(("docker.io/library/it:1", "docker.io/library/it:latest"), (layer,), ("/it",), ("--help",), {"A": "b"}, user="7")
    return oci.put(store, made)


def test_config_manifest_and_index_name_each_other_by_digest(store: Store) -> None:
    made = image(store)
    manifest = json.loads(store.blob(made.manifest).read_text())
    config = json.loads(store.blob(manifest["config"]["digest"]).read_text())
    assert config["config"]["Entrypoint"] == ["/it"]
    assert config["config"]["Env"] == [f"PATH={oci.PATH}", "A=b"]
    assert "StopSignal" not in config["config"]
    assert [layer["digest"] for layer in manifest["layers"]] == list(made.layers)
    index = json.loads(oci.index([made]))
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]] == list(made.references)
    assert {entry["digest"] for entry in index["manifests"]} == {made.manifest}


def test_an_archive_is_both_an_oci_layout_and_dockers_and_goes_into_another_store(store: Store, tmp_path: Path) -> None:
    made = image(store)
    archive.write(store, [made], tmp_path / "all.tar", {"note.json": b"{}"})
    with tarfile.open(tmp_path / "all.tar") as tar:
        names = tar.getnames()
        row = json.loads(tar.extractfile("manifest.json").read())[0]  # type: ignore[union-attr]
    assert {"oci-layout", "index.json", row["Config"], *row["Layers"]} < set(names)
    assert archive.note(tmp_path / "all.tar", "note.json") == b"{}"
    other = Store(tmp_path / "other")
    archive.restore(tmp_path / "all.tar", other)
    assert all(other.blob(blob).read_bytes() == store.blob(blob).read_bytes() for blob in made.blobs)


def test_a_damaged_archive_is_refused(store: Store, tmp_path: Path) -> None:
    made = image(store)
    store.blob(made.config).write_bytes(b"something else")
    archive.write(store, [made], tmp_path / "all.tar")
    with pytest.raises(ClusterError, match="is damaged"):
        archive.restore(tmp_path / "all.tar", Store(tmp_path / "other"))
    (tmp_path / "all.tar").write_bytes(b"no archive")
    with pytest.raises(ClusterError, match="cannot be read"):
        archive.restore(tmp_path / "all.tar", Store(tmp_path / "other"))
    assert archive.note(tmp_path / "all.tar", "note.json") is None


def test_a_disk_that_is_full_is_said_and_no_half_archive_stays(store: Store) -> None:
    made = image(store)
    with pytest.raises(ClusterError, match="cannot be written") as refused:
        archive.write(store, [made], Path("/proc/no.tar"))
    assert "df -h" in refused.value.next
