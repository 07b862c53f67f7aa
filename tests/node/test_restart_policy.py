from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node.spec import restart_policy
from meshcourse.node.spec.restart_policy import Backoff


def test_the_first_restart_is_immediate_and_the_next_ones_wait_longer_up_to_five_minutes() -> None:
    backoff, now, waits = Backoff(), 1000.0, []
    for _ in range(8):
        due = backoff.due(now)
        waits.append(due - now)
        backoff = backoff.attempted(due)
        now = due + 1
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_minutes_of_running_are_forgiven() -> None:
    backoff = Backoff().attempted(0).attempted(10).attempted(30)
    assert backoff.due(31) == 31 + 40
    assert backoff.due(30 + 601) == 30 + 601
    assert backoff.attempted(30 + 701).delay == 10


@pytest.mark.parametrize(
    ("policy", "code", "init", "again"),
    [
        ("Always", 0, False, True),
        ("Always", 1, False, True),
        ("OnFailure", 0, False, False),
        ("OnFailure", 1, False, True),
        ("Never", 1, False, False),
        ("Always", 0, True, False),
        ("Always", 1, True, True),
        ("Never", 1, True, False),
    ],
)
def test_the_restart_policy_decides(policy: str, code: int, init: bool, again: bool) -> None:  # noqa: FBT001
    assert restart_policy.wanted({"spec": {"restartPolicy": policy}}, {"name": "c"}, init=init, exit_code=code) is again


def test_a_container_has_the_last_word() -> None:
    never: dict[str, Any] = {"spec": {"restartPolicy": "Never"}}
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    assert restart_policy.wanted(never, {"restartPolicy": "Always"}, init=True, exit_code=0)
    assert restart_policy.wanted(never, {"restartPolicy": "Never", "restartPolicyRules": [rule]}, init=False, exit_code=42)
    assert not restart_policy.wanted(never, {"restartPolicy": "Never", "restartPolicyRules": [rule]}, init=False, exit_code=1)


@pytest.mark.parametrize(
    ("of_pod", "of_container", "again"),
    [("Always", None, True), ("OnFailure", None, True), ("Never", None, False), ("Never", "Always", True), ("Always", "Never", False)],
)
def test_a_container_that_its_probes_have_ended_starts_again_unless_it_never_may(
    of_pod: str,
    of_container: str | None,
    *,
    again: bool,
) -> None:
    container = {"name": "c", **({"restartPolicy": of_container} if of_container else {})}
    assert restart_policy.after_probe({"spec": {"restartPolicy": of_pod}}, container) is again


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s")])
def test_durations_read_as_in_go(seconds: float, text: str) -> None:
    assert restart_policy.duration(seconds) == text
