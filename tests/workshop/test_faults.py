"""What goes wrong around a workshop: no room on the disk, a bundle that is damaged, a file that cannot be read. No hub is needed."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from meshcourse.cli import main, workshop
from meshcourse.core.errors import ClusterError, CourseError
from meshcourse.workshop import bundle, record, running, users
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
