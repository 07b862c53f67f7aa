"""The last minute of injected faults: the share of aborted and of delayed requests, for each kind of caller.

Pure but for the deques inside. Envoy draws separately for the delay and the abort, so a request may meet both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshcourse.measure import binomial
from meshcourse.measure.binomial import Share
from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules.faults import Faults
from meshcourse.widgets.models import history
from meshcourse.widgets.models.history import Tick, Trail

ABORTED, DELAYED, BOTH, NEITHER = "aborted", "delayed", "delayed and aborted", "neither"
FAULTS: Final = (ABORTED, DELAYED)
CHOSEN, OTHERS = "with the header", "without it"
GROUPS: Final = (CHOSEN, OTHERS)
_PARTS: Final = {ABORTED: (ABORTED, BOTH), DELAYED: (DELAYED, BOTH)}
_ALMOST: Final = 0.95
"""Clocks differ: an answer that took nearly the delay counts as delayed."""


@dataclass(frozen=True)
class View:
    """The lines of each group, by group."""

    groups: Mapping[str, history.View]

    @property
    def range(self) -> tuple[float, float]:
        """The part of the time axis to show."""
        return self.groups[CHOSEN].range


def outcome(aborted: bool, seconds: float, delay: float) -> str:  # noqa: FBT001 - two facts of one answer
    """The outcome of a request that took `seconds`, when the delay is `delay`."""
    late = seconds >= _ALMOST * delay
    return (BOTH if late else ABORTED) if aborted else (DELAYED if late else NEITHER)


def wanted(faults: Faults, group: str) -> dict[str, float]:
    """Per cent by fault."""
    hit = group == CHOSEN or not faults.chosen
    return {ABORTED: faults.abort if hit else 0.0, DELAYED: faults.delay if hit else 0.0}


def share(summary: Summary, fault: str) -> Share:
    """The observed share of one fault."""
    return binomial.observed(sum(summary.versions.get(part, 0) for part in _PARTS[fault]), summary.labelled)


class Story:
    """Keeps the last minute."""

    def __init__(self) -> None:
        self._trails = {group: {fault: Trail((fault,)) for fault in FAULTS} for group in GROUPS}

    def add(self, at: float, faults: Faults, found: Mapping[str, Summary | None]) -> None:
        """Add a window for each group; None is a gap."""
        for group, trails in self._trails.items():
            aims, summary = wanted(faults, group), found[group]
            for fault, each in trails.items():
                seen = None if summary is None else dataclasses.replace(summary, versions=_split(summary, fault))
                each.add(Tick(at, {fault: aims[fault]}, seen))

    def view(self) -> View:
        """All of it, ready to draw."""
        return View({group: _joined(tuple(each.view() for each in trails.values())) for group, trails in self._trails.items()})


def _split(summary: Summary, fault: str) -> dict[str, int]:
    hit = sum(summary.versions.get(part, 0) for part in _PARTS[fault])
    return {fault: hit, "rest": summary.labelled - hit}


def _joined(views: tuple[history.View, ...]) -> history.View:
    bands = {name: band for view in views for name, band in view.versions.items()}
    return dataclasses.replace(views[0], versions=bands)
