"""What is built with Go for a node image, as far as it needs no build."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.core.errors import EngineError
from meshcourse.imagemaking import go_builds


def test_an_older_build_that_fails_is_tried_again_by_its_own_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A version that the module proxy does not have, and a disk that is too small."""
    monkeypatch.setenv("MESHCOURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    with pytest.raises(EngineError) as refused:
        go_builds.ensure_older("1.28.15")
    assert "k8s.io/kubernetes@v1.28.15 could not be built" in refused.value.what
    assert refused.value.next.startswith("meshcourse images make --k8s 1.28 ")
    monkeypatch.setattr(go_builds, "SPACE", 10**18)
    with pytest.raises(EngineError) as full:
        go_builds.ensure_older("1.23.17")
    assert full.value.next.endswith("meshcourse images make --k8s 1.23")
