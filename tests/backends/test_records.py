"""The record of a cluster's name is kept on disk, readable by its owner only."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.backends import lookup, records
from meshcourse.backends.embedded import Embedded
from meshcourse.backends.existing import Existing
from meshcourse.backends.records import Record
from meshcourse.core.errors import ClusterError


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path))
    return tmp_path / "clusters"


def test_a_record_is_read_back_as_it_was_written(state: Path) -> None:
    written = records.write(Record("team", records.EXISTING, 1.5, owner="team-1", ingress="port-forward", ingress_url="http://127.0.0.1:1"))
    assert records.find("team") == written
    assert (state / "team" / "backend.json").stat().st_mode & 0o077 == 0
    assert records.every() == (written,)


def test_a_name_without_a_record_is_an_embedded_cluster(state: Path) -> None:
    records.write(Record("team", records.EXISTING, 1.5))
    assert lookup.find("other") == Embedded("other")
    assert lookup.find("team") == Existing("team")
    assert lookup.runs("team")
    assert not lookup.runs("other")


def test_forgetting_keeps_the_logs(state: Path) -> None:
    record = records.write(Record("team", records.EXISTING, 1.5))
    (record.home / "logs").mkdir()
    records.forget(record)
    assert [path.name for path in record.home.iterdir()] == ["logs"]
    assert records.find("team") is None


def test_a_broken_record_is_an_error_that_names_the_file(state: Path) -> None:
    records.write(Record("team", records.EXISTING, 1.5))
    (state / "team" / "backend.json").write_text('{"surprise": 1}')
    with pytest.raises(ClusterError, match="cannot be read") as refused:
        records.find("team")
    assert str(state / "team" / "backend.json") in refused.value.next
