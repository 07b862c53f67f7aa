"""Images pushed to crane's registry: by crane, or only by name where it has the blobs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from registries import serving

from meshcourse.core.errors import ClusterError
from meshcourse.engine.go_programs import CRANE
from meshcourse.imagemaking import oci, registries
from meshcourse.imagemaking.layers import Entry, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def made(store: Store) -> oci.Stored:
    layer = store.layer((Entry("/it", 0o755, content=b"a"),))
    return oci.put(store, oci.Image(("docker.io/library/it:1", "docker.io/library/it:latest"), (layer,), ("/it",)))


def test_pushed_images_are_found_by_every_tag(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path) as registry:
        image = made(store)
        registries.push(store, [image], f"{registry.host}/course")
        assert registry.crane("digest", f"{registry.host}/course/library/it:1") == image.manifest
        assert registry.crane("digest", f"{registry.host}/course/library/it:latest") == image.manifest
        assert '"/it"' in registry.crane("config", f"{registry.host}/course/library/it:1")


def test_a_registry_that_does_not_answer_is_named(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path), pytest.raises(ClusterError, match="could not be pushed") as refused:
        registries.push(store, [made(store)], "127.0.0.1:1/course")
    assert "127.0.0.1:1" in refused.value.why
    assert "does it answer?" in refused.value.next


def test_a_registry_that_has_the_blobs_is_told_the_names_alone(store: Store, tmp_path: Path) -> None:
    image = made(store)
    words = [str(CRANE.ensure()), "registry", "serve", "--address", "127.0.0.1:0", "--disk", str(tmp_path / "store" / "blobs")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = (re.search(r"serving on port (\d+)", line) for line in process.stderr)
            port = next(match for match in found if match)
            assert registries.announce(store, [image], "127.0.0.1", int(port[1])) == 2
            pulled = subprocess.run(
                [str(CRANE.ensure()), "export", f"127.0.0.1:{port[1]}/library/it:latest", "-"], check=True, capture_output=True
            )
            assert b"it" in pulled.stdout
        finally:
            process.kill()
