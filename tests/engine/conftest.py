"""A real Go module, small enough to be built in seconds: two programs that need the standard library only."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.engine.binaries import Program
from meshcourse.engine.build import Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    source = tmp_path / "source"
    for folder, text in (("hello", '"hello"'), ("server/v3", '"server", len(os.Args)')):
        path = source / folder / "main.go"
        path.parent.mkdir(parents=True)
        extra = 'import "os"\n' if "os." in text else ""
        path.write_text(f"package main\n\n{extra}\nfunc main() {{ println({text}) }}\n")
    (source / "go.mod").write_text("module example.com/small\n\ngo 1.26.0\n")
    (source / "template.json").write_text("{}\n")
    module = "example.com/small"
    programs = (Program("hello", f"{module}/hello", module), Program("store", f"{module}/server/v3", module))
    return Recipe(source, programs, ("-trimpath", "-buildvcs=false"), {"bootstrap.json": (module, "template.json")}, space=1)


@pytest.fixture
def compiled(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One build cache for the whole session, by the variable that builders heed: the standard library is compiled once."""
    monkeypatch.setenv("GOCACHE", str(tmp_path_factory.getbasetemp() / "compiled"))
