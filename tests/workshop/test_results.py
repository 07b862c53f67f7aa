"""What the board says of a learner, computed from what `lab` keeps; learners can write anything into their own files."""

from __future__ import annotations

import csv
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshcourse.course.attempts import Attempt
from meshcourse.course.passed import Record
from meshcourse.workshop import certificate, monitoring, record, results
from meshcourse.workshop.users import User

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ADA = User(1, "ada", "Ada", "x")


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def failed(number: str, minutes: float, hints: int = 0) -> Attempt:
    return Attempt(number, after(minutes), "not yet", passed=False, hints=hints)


def test_three_checks_in_a_row_that_did_not_pass_are_stuck_and_a_pass_ends_it() -> None:
    tries = [failed("5.1", each) for each in range(3)]
    assert results.of(ADA, Record(), tries[:2]).stuck == ""
    assert results.of(ADA, Record(), tries).stuck == "5.1"
    assert results.of(ADA, Record(), [*tries, Attempt("5.1", after(4), "passed", passed=True)]).stuck == ""


def test_a_learner_is_where_they_did_something_last() -> None:
    opened = Record(opened={"05-canary": after(0), "04-bookinfo": after(9)})
    assert results.of(ADA, opened, []).chapter == "04-bookinfo"
    assert results.of(ADA, opened, [failed("5.1", 12)]).chapter == "05-canary"


def test_results_count_attempts_hints_and_minutes() -> None:
    kept = Record(passed={"5.1": after(10), "5.2": after(25)}, opened={"05-canary": after(0)})
    found = results.of(ADA, kept, [failed("5.1", 5, 2), Attempt("5.1", after(10), "passed", passed=True, hints=2)])
    rows = list(csv.DictReader(io.StringIO(results.table([found]))))
    assert [(row["exercise"], row["attempts"], row["hints"], row["minutes"]) for row in rows] == [
        ("5.1", "2", "2", "10.0"),
        ("5.2", "0", "0", "15.0"),
    ]


def test_what_is_no_exercise_and_no_verdict_does_not_reach_the_page() -> None:
    script = "<script>alert(1)</script>"
    kept = Record(passed={script: NOON}, opened={script: NOON})
    found = results.of(
        User(1, "eve", "=1+1", "x"), kept, [Attempt("5.1", NOON, script, passed=False), Attempt(script, NOON, "passed", passed=True)]
    )
    assert script not in str(found.shown())
    assert "\n=1" not in results.table([results.of(User(1, "eve", "=1+1", "x"), Record(passed={"5.1": NOON}), [])])


def test_a_certificate_has_the_name_as_text() -> None:
    found = results.of(User(1, "eve", "<b>Eve</b>", "x"), Record(passed={"5.1": NOON}), [])
    assert "&lt;b&gt;Eve" in certificate.page([found])
    assert "Nobody" in certificate.page([])


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(record.VARIABLE, str(tmp_path))
    folder = record.home("eve") / "state"
    folder.mkdir(parents=True)
    return folder


def test_a_link_to_another_learners_progress_or_a_file_of_the_machine_is_not_followed(own: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("secret")
    (own / "progress.json").symlink_to(secret)
    assert monitoring.text(own.parent, "state", "progress.json") == ""
    (own / "hard.json").hardlink_to(secret)
    assert monitoring.text(own.parent, "state", "hard.json") == ""
    (own.parent / "elsewhere").symlink_to(tmp_path)
    assert monitoring.text(own.parent, "elsewhere", "secret.json") == ""
    os.mkfifo(own / "fifo")
    assert monitoring.text(own.parent, "state", "fifo") == ""
    (own / "plain").write_text("plain")
    assert monitoring.text(own.parent, "state", "plain") == "plain"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"passed": 3, "opened": {}}', '{"passed": {"5.1": "noon"}, "opened": {}}'])
def test_a_progress_file_that_cannot_be_read_is_an_empty_one(own: Path, content: str) -> None:
    (own / "progress.json").write_text(content)
    (own / "progress-attempts.jsonl").write_text(content)
    found = monitoring.results_of(User(1, "eve", "Eve", "x"))
    assert not found.record.passed
    assert not found.attempts
