"""From VirtualServices to the retry panel's numbers and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.kube import manifests
from meshcourse.mesh.rules import retry_chain
from meshcourse.mesh.rules.retry_chain import Retrying

CHAIN = Path(__file__).parents[2] / "notebooks" / "manifests" / "08_faults_retries" / "10-retries-everywhere.yaml"


def rule(**fields: object) -> dict[str, object]:
    return {"spec": {"http": [{"route": [], **fields}]}}


def test_the_chapters_chain_retries_twice_at_each_hop_without_a_fault() -> None:
    front, middle, back = manifests.load(CHAIN)
    assert [each["metadata"]["name"] for each in (front, middle, back)] == ["front", "middle", "back"]
    assert retry_chain.described_by(front, middle, back) == Retrying(0.0, 2, 2)


@pytest.mark.parametrize("wanted", [Retrying(0.0, 0, 0), Retrying(50.0, 3, 0), Retrying(100.0, 10, 10)])
def test_what_is_written_is_read_again(wanted: Retrying) -> None:
    front, middle = (rule(retries=retry_chain.retries(each)) for each in (wanted.gateway, wanted.first))
    assert retry_chain.described_by(front, middle, rule(fault=retry_chain.fault(wanted.fault))) == wanted


def test_retries_that_a_503_does_not_bring_about_count_as_none() -> None:
    unasked, connection = rule(), rule(retries={"attempts": 3, "retryOn": "connect-failure"})
    assert retry_chain.described_by(unasked, connection, rule()) == Retrying(0.0, 0, 0)


def test_no_condition_is_written_where_nothing_is_retried() -> None:
    assert retry_chain.retries(0) == {"attempts": 0}, "Istio's webhook refuses a retryOn with 0 attempts"
