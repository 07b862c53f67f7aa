"""The limit on inotify instances: for how many sidecars it suffices, and what root does about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.cluster import inotify


@pytest.mark.parametrize(("allowed", "sidecars"), [(128, 36), (1024, 334), (10, 0)])
def test_each_sidecar_takes_three(allowed: int, sidecars: int) -> None:
    assert inotify.sidecars(allowed) == sidecars


def test_low_limit_is_raised_and_a_high_one_is_left_alone(tmp_path: Path) -> None:
    low, high, absent = tmp_path / "low", tmp_path / "high", tmp_path / "folder" / "absent"
    low.write_text("128\n")
    high.write_text("8192\n")
    assert "was 128, enough for 36 sidecars; it is 1024" in inotify.enlarge(low)
    assert low.read_text() == "1024\n"
    assert inotify.enlarge(low) == ""
    assert inotify.enlarge(high) == ""
    assert high.read_text() == "8192\n"
    assert inotify.enlarge(absent) == ""
    assert not absent.exists()
