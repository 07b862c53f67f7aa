"""Two panels in one kernel: both live, each with its own load, and closing one does not close the other."""

from __future__ import annotations

from typing import Any

import pytest
from waiting import until

from meshcourse.widgets.panels.topology import TopologyPanel
from meshcourse.widgets.panels.weights import WeightPanel


@pytest.mark.cluster
def test_two_panels_live_side_by_side(canary: Any) -> None:
    with (
        WeightPanel(canary.connection, namespace=canary.namespace, virtual_service="web", route="split") as weights,
        TopologyPanel(canary.connection, namespace=canary.namespace, path="/") as topology,
    ):
        weights.start(rate=30)
        topology.start(rate=10)
        weights.wait_observed("v2", 0.1, within=30)
        ticks = weights.widgets.figure.tick, topology.widgets.figure.tick
        until(lambda: weights.widgets.figure.tick > ticks[0] + 2)
        until(lambda: topology.widgets.figure.tick > ticks[1] + 2)
        assert topology.running
        topology.close()
        assert weights.running
        until(lambda: weights.widgets.figure.tick > ticks[0] + 6)
