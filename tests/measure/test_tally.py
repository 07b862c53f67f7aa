"""Tallies and the judgement of shares: pure."""

from __future__ import annotations

from meshcourse.measure import tally
from meshcourse.measure.tally import Tally


def test_tally_counts_versions_and_failures_apart() -> None:
    found = tally.tally([("v1", ""), ("v2", ""), ("v1", ""), (None, "503"), (None, "refused")])
    assert found == Tally({"v1": 2, "v2": 1}, {"503": 1, "refused": 1})
    assert found.n == 5
    assert found.answered == 3
    assert str(found) == "of 5 requests: 2 by v1, 1 by v2, 1 failed with 503, 1 failed with refused"


def test_share_states_how_many_requests_and_how_sure() -> None:
    finding = tally.share(Tally({"v1": 800, "v2": 200}, {}), "v2", 0.2)
    assert finding.ok
    assert "1000 requests" in finding.bound
    assert "10,000" in finding.bound


def test_wrong_share_is_not_accepted() -> None:
    assert not tally.share(Tally({"v1": 900, "v2": 100}, {}), "v2", 0.2).ok


def test_one_failed_request_spoils_a_right_share() -> None:
    assert not tally.share(Tally({"v1": 799, "v2": 200}, {"503": 1}), "v2", 0.2).ok


def test_whole_share_leaves_chance_no_room() -> None:
    finding = tally.share(Tally({"v1": 1, "v2": 199}, {}), "v2", 1.0)
    assert not finding.ok
    assert finding.bound == ""


def test_no_answer_at_all_is_no_right_share() -> None:
    assert not tally.share(Tally({}, {"refused": 200}), "v2", 0.0).ok
