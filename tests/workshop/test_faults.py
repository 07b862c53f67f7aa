"""What goes wrong around a workshop: no room on the disk, a damaged bundle, one learner too many, a taken port. No hub is needed."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from meshcourse.cli import main, workshop
from meshcourse.core import files
from meshcourse.core.errors import ClusterError, CourseError, MissingPrerequisite
from meshcourse.workshop import bundle, record, running, sheet, users
from meshcourse.workshop.record import Workshop

FULL = Path("/dev/full")
"""A file of the kernel's that has no room."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(record.VARIABLE, str(tmp_path))
    return tmp_path


def _workshop() -> Workshop:
    return Workshop("127.0.0.1", 1, "/", users.instructor(), users.make(["Ada", "Bob"]))


def test_no_room_on_the_disk_is_said_by_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        try:
            FULL.write_text("something", encoding="ascii")
        except OSError as error:
            raise OSError(error.errno, os.strerror(errno.ENOSPC), "/some/folder/file") from error

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "There is no room left on the disk" in shown
    assert "df -h /some/folder" in shown


def test_results_that_cannot_be_saved_end_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record.write(_workshop())
    monkeypatch.setattr(running, "stop", lambda _: pytest.fail("it was ended"))
    monkeypatch.setattr("meshcourse.workshop.results.table", lambda _: "x" * 100_000)
    monkeypatch.setattr(
        "meshcourse.workshop.monitoring.results_of", lambda _: SimpleNamespace(attempts=1, record=SimpleNamespace(passed=()))
    )
    monkeypatch.setattr(Path, "cwd", lambda: folder / "away")
    done = CliRunner().invoke(workshop.app, ["down", "--yes"])
    assert isinstance(done.exception, CourseError)
    assert "nothing has been ended" in done.exception.what
    assert "meshcourse workshop down" in done.exception.next
    assert record.read() is not None


def test_a_workshops_file_that_cannot_be_read_names_a_way_that_works(folder: Path) -> None:
    (folder / "workshop.json").write_text('{"learners": 3', encoding="utf-8")
    with pytest.raises(CourseError) as refused:
        record.read()
    command, keep = refused.value.next.partition("    #")[0].split(" && ")
    assert keep == "meshcourse workshop down --keep"
    subprocess.run(command, shell=True, check=True)  # noqa: S602 - what the message tells one to type
    assert record.read() is None
    assert CliRunner().invoke(workshop.app, ["down", "--keep"]).exit_code == 0


def test_a_hub_that_ends_before_its_log_exists_is_reported(folder: Path) -> None:
    (folder / "logs").mkdir()
    (folder / "logs" / "supervisor.log").write_text("ModuleNotFoundError: No module named 'x'\n", encoding="utf-8")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
        with pytest.raises(ClusterError, match="does not answer") as refused:
            running._wait(_workshop(), ended)  # type: ignore[arg-type]
    assert "No module named 'x'" in refused.value.why
    assert refused.value.next == f"less {folder}/logs/supervisor.log"


@pytest.mark.parametrize("damage", ["shorter", "gone", "other"])
def test_a_damaged_bundle_says_so_and_installs_nothing(tmp_path: Path, damage: str) -> None:
    wheel = tmp_path / "wheels" / "a.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"0" * 1000)
    (tmp_path / bundle.SUMS).write_text(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  wheels/a.whl\n", encoding="ascii")
    (tmp_path / "install").write_text(bundle.INSTALLER, encoding="utf-8")
    if damage == "gone":
        wheel.unlink()
    else:
        wheel.write_bytes(b"0" * 10 if damage == "shorter" else b"1" * 1000)
    done = subprocess.run(["sh", str(tmp_path / "install"), str(tmp_path / "new")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cut short or damaged" in done.stderr
    assert "wheels/a.whl" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_bundle_that_is_cut_short_installs_nothing(tmp_path: Path) -> None:
    wheel, whole, short = tmp_path / "a.whl", tmp_path / "whole.tar", tmp_path / "short.tar"
    wheel.write_bytes(os.urandom(1_000_000))
    bundle.write(whole, {"wheels/a.whl": wheel}, tmp_path)
    with short.open("wb") as file:
        file.write(whole.read_bytes()[: whole.stat().st_size // 2])
    assert subprocess.run(["tar", "xf", short.name], cwd=tmp_path, capture_output=True, check=False).returncode
    done = subprocess.run([f"./{bundle.ROOT}/install", "new"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cut short or damaged" in done.stderr
    assert not (tmp_path / bundle.ROOT / "new").exists()
    with tarfile.open(whole) as archive:  # the installer comes first: a file that was cut has it
        assert archive.getnames()[:2] == [f"{bundle.ROOT}/install", f"{bundle.ROOT}/{bundle.SUMS}"]


@pytest.fixture
def up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`meshcourse workshop up WORDS` in an empty folder."""
    monkeypatch.chdir(folder)
    return lambda *words: CliRunner().invoke(workshop.app, ["up", *words])


def test_the_thirty_first_learner_is_added_while_it_runs_and_thirty_keep_their_codes(folder: Path, up: Callable[..., Result]) -> None:
    thirty = users.make(users.numbered(30))
    record.write(dataclasses.replace(_workshop(), learners=thirty))
    lock = files.claim(folder / "supervisor.lock")  # as the supervisor of a hub that runs
    try:
        for words in (("--learners", "31"), ("--add", "Late Comer")):
            done = up(*words)
            assert done.exit_code == 0, done.output
    finally:
        os.close(lock)
    now = record.require().learners
    assert now[:30] == thirty
    assert [each.account for each in now[30:]] == ["learner-31", "late-comer"]
    assert all(each.code in (folder / workshop.SHEET).read_text(encoding="utf-8") for each in now)


def test_one_learner_more_than_a_workshop_can_have_is_refused_and_nothing_changes(folder: Path, up: Callable[..., Result]) -> None:
    full = dataclasses.replace(_workshop(), learners=users.make(users.numbered(users.MOST)))
    record.write(full)
    lock = files.claim(folder / "supervisor.lock")
    try:
        refused = up("--add", "Late Comer").exception
    finally:
        os.close(lock)
    assert isinstance(refused, CourseError)
    assert f"at most {users.MOST} learners" in refused.what
    assert record.require() == full


def test_a_taken_port_is_said_with_who_has_it_and_nothing_is_written(folder: Path, up: Callable[..., Result]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = up("--learners", "1", "--port", str(port)).exception
    assert isinstance(refused, ClusterError)
    assert refused.what == f"Port {port} of 127.0.0.1 is taken."
    assert f"sport = :{port}" in refused.why
    assert "--port" in refused.next
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("there", "lacking"), [((), "Node.js and npm"), (("node",), "npm"), (("npm",), "Node.js")])
def test_without_nodejs_the_command_that_installs_it_is_said(
    folder: Path,
    up: Callable[..., Result],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    there: tuple[str, ...],
    lacking: str,
) -> None:
    programs = tmp_path_factory.mktemp("programs")
    for name in there:
        (programs / name).write_text("#!/bin/sh\n", encoding="ascii")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("MESHCOURSE_CACHE", str(programs / "cache"))
    refused = up("--learners", "1", "--port", str(running.free())).exception
    assert isinstance(refused, MissingPrerequisite)
    assert refused.what == f"Not installed: {lacking}."
    assert "apt install nodejs npm" in refused.next
    assert not list(folder.iterdir())


def test_the_page_to_print_has_an_address_that_other_machines_can_type() -> None:
    with socket.create_server(("0.0.0.0", 0)) as hub:
        port = hub.getsockname()[1]
        everywhere = dataclasses.replace(_workshop(), address="0.0.0.0", port=port)
        host = urlsplit(everywhere.url).hostname or ""
        assert host != everywhere.address
        socket.create_connection((host, port), 5).close()
    assert everywhere.url in sheet.page(everywhere)
    assert dataclasses.replace(everywhere, public_url="https://class.example.com/").url == "https://class.example.com/"


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="there is no npm: sudo apt install nodejs npm")
def test_where_npms_registry_does_not_answer_the_way_without_a_network_is_said(
    folder: Path, up: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(running.PROXY):
        pytest.skip("the proxy is installed on this machine already")
    monkeypatch.setenv("MESHCOURSE_CACHE", str(cache := tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{running.free()}/")
    refused = up("--learners", "1", "--port", str(running.free())).exception
    assert isinstance(refused, MissingPrerequisite)
    assert "ECONNREFUSED" in refused.why
    assert "workshop bundle" in refused.next
    assert not list(folder.iterdir())
    assert not list(cache.rglob("node_modules"))
