"""Wrong destinations, found from objects alone."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.checks.destinations import Surroundings, troubles

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def pod(*, ready: bool = True, **labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}, "status": READY if ready else {}}


def service(*ports: int, **selector: str) -> dict[str, Any]:
    return {"spec": {"selector": selector, "ports": [{"port": port} for port in ports]}}


AROUND = Surroundings(
    "canary",
    {"web": service(80, app="web"), "back": service(8000, app="back"), "slow": service(80, app="slow")},
    (pod(app="web", version="v1"), pod(app="web", version="v2"), pod(app="back"), pod(ready=False, app="slow")),
    ({"spec": {"host": "web", "subsets": [{"name": each, "labels": {"version": each}} for each in ("v1", "v2", "v9")]}},),
    frozenset({"files.example"}),
)


def leads(*destinations: dict[str, Any], weight: int | None = None) -> tuple[tuple[str, str], ...]:
    entries = [{"destination": each, **({"weight": weight} if weight is not None else {})} for each in destinations]
    return tuple((each.flag, each.seen) for each in troubles(AROUND, {"spec": {"http": [{"route": entries}]}}))


@pytest.mark.parametrize(
    "destination",
    [
        {"host": "web"},
        {"host": "web", "subset": "v2"},
        {"host": "web.canary.svc.cluster.local", "subset": "v1", "port": {"number": 80}},
        {"host": "back"},
        {"host": "back", "port": {"number": 8000}},
        {"host": "files.example"},
        {"host": "web.other.svc.cluster.local"},
    ],
)
def test_a_good_destination_is_no_trouble(destination: dict[str, Any]) -> None:
    assert leads(destination) == ()


@pytest.mark.parametrize(
    ("destination", "flag", "words"),
    [
        ({"host": "webb"}, "NC", "`webb` is no Service"),
        ({"host": "web.canary"}, "NC", "`web.canary` is no Service"),
        ({"host": "web", "subset": "v3"}, "NC", "defined are v1, v2, v9"),
        ({"host": "back", "subset": "v1"}, "NC", "none with subsets"),
        ({"host": "back", "port": {"number": 80}}, "NC", "the Service has 8000"),
        ({"host": "web", "subset": "v9"}, "UH", "subset v9 of web has no pod"),
        ({"host": "slow"}, "UH", "1 pods, and none is ready"),
    ],
)
def test_a_destination_that_leads_nowhere_is_named_with_envoys_flag(destination: dict[str, Any], flag: str, words: str) -> None:
    ((found, seen),) = leads(destination)
    assert found == flag
    assert words in seen


def test_what_has_no_weight_beside_others_is_left_out() -> None:
    assert leads({"host": "web"}, {"host": "nowhere"}, weight=0) == ()
    assert len(leads({"host": "web"}, {"host": "nowhere"}, weight=50)) == 1
