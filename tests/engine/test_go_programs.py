"""Programs outside the engine: found, or built by a recorded `go` that answers as Go does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from meshcourse.core.errors import EngineError
from meshcourse.engine.go_programs import CRANE, KIND, GoProgram

PROGRAM = GoProgram("nonesuch", "example.com/nonesuch", "v1.2.3", "https://example.com/")
GO = """#!/bin/sh
case "$1" in
env) echo {version};;
install) echo "$2 $CGO_ENABLED $GOTOOLCHAIN $GOWORK" >> "$(dirname "$0")/log"; {then};;
esac
"""


def go(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str, version: str = "go1.99.0") -> Path:
    """The only `go` on PATH; returns its log."""
    script = folder / "bin" / "go"
    script.parent.mkdir()
    script.write_text(GO.format(version=version, then=then))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("MESHCOURSE_CACHE", str(folder / "cache"))
    return script.parent / "log"


def test_a_program_is_built_once_and_found_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = go(tmp_path, monkeypatch, 'echo "#!/bin/sh" > "$GOBIN/nonesuch"; chmod 755 "$GOBIN/nonesuch"')
    assert PROGRAM.found() is None
    assert PROGRAM.ensure() == PROGRAM.ensure() == PROGRAM.found() == tmp_path / "cache" / "nonesuch" / "v1.2.3" / "nonesuch"
    assert log.read_text() == "example.com/nonesuch@v1.2.3 0 local off\n"
    assert [path.name for path in (tmp_path / "cache" / "nonesuch").iterdir()] == ["v1.2.3"]
    assert subprocess.run([PROGRAM.ensure()], check=False).returncode == 0


def test_the_one_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = go(tmp_path, monkeypatch, "exit 1")
    own = log.parent / "nonesuch"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert PROGRAM.ensure() == own


def test_a_build_that_fails_says_gos_words_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(tmp_path, monkeypatch, 'echo "no required module" >&2; exit 1')
    with pytest.raises(EngineError, match="nonesuch could not be built") as refused:
        PROGRAM.ensure()
    assert "no required module" in refused.value.why
    assert refused.value.next.startswith("go install example.com/nonesuch@v1.2.3")
    assert PROGRAM.found() is None


def test_both_programs_are_pinned() -> None:
    assert [(each.name, each.version) for each in (KIND, CRANE)] == [("kind", "v0.33.0"), ("crane", "v0.22.1")]
