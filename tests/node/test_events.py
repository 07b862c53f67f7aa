"""Events: repeats are counted, similar ones combined, floods limited."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node import events

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7"}}


def happening(message: str = "hello", moment: float = 1_000_000.0, **more: Any) -> events.Happening:
    given: dict[str, Any] = {"involved": events.reference(POD), "type": "Warning", "reason": "Unhealthy", **more}
    return events.Happening(message=message, moment=moment, **given)


def test_a_repeat_counts_on_the_same_event() -> None:
    correlator = events.Correlator()
    first, second = correlator.observe(happening()), correlator.observe(happening(moment=1_000_010.0))
    assert first is not None
    assert second is not None
    assert (first.count, second.count) == (1, 2)
    assert first.name == second.name
    assert (second.first, second.happening.moment) == (1_000_000.0, 1_000_010.0)


@pytest.mark.parametrize(
    "other",
    [
        {"reason": "BackOff"},
        {"type": "Normal"},
        {"involved": events.reference(POD, "spec.containers{app}")},
        {"involved": {**events.reference(POD), "uid": "another"}},
    ],
)
def test_what_differs_is_another_event(other: dict[str, Any]) -> None:
    correlator = events.Correlator()
    assert correlator.observe(happening()) is not None
    observed = correlator.observe(happening(moment=1_000_001.0, **other))
    assert observed is not None
    assert observed.count == 1


def test_ten_that_differ_by_message_become_one() -> None:
    correlator = events.Correlator()
    observed = [correlator.observe(happening(f"take {number}", 1_000_000.0 + number)) for number in range(15)]
    last = observed[-1]
    assert last is not None
    assert last.happening.message == "(combined from similar events): take 14"
    assert last.count == 6
    assert [each.count for each in observed[:9] if each is not None] == [1] * 9


def test_after_ten_quiet_minutes_messages_stand_alone_again() -> None:
    correlator = events.Correlator()
    for number in range(12):
        correlator.observe(happening(f"take {number}"))
    observed = correlator.observe(happening("much later", 1_000_601.0))
    assert observed is not None
    assert observed.happening.message == "much later"


def test_a_flood_is_cut_and_refilled_slowly() -> None:
    correlator = events.Correlator()
    assert [correlator.observe(happening()) is not None for _ in range(27)] == [True] * 25 + [False] * 2
    assert correlator.observe(happening(moment=1_000_290.0)) is None
    assert correlator.observe(happening(moment=1_000_301.0)) is not None


def test_the_event_object_says_who_about_what_and_when() -> None:
    observed = events.Correlator().observe(happening())
    assert observed is not None
    assert events.event_object(observed, "kubelet", "node") == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web.38d7ea4c68000", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "apiVersion": "v1", "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "hello",
        "count": 1,
        "firstTimestamp": "1970-01-12T13:46:40Z",
        "lastTimestamp": "1970-01-12T13:46:40Z",
        "source": {"component": "kubelet", "host": "node"},
        "reportingComponent": "kubelet",
        "reportingInstance": "node",
    }


def test_an_event_about_a_node_lies_in_the_default_namespace() -> None:
    observed = events.Correlator().observe(happening(involved={"kind": "Node", "name": "node", "uid": "node"}))
    assert observed is not None
    assert events.event_object(observed, "kubelet", "node")["metadata"]["namespace"] == "default"
