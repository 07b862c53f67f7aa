"""lab.weight_panel, lab.panel: the live panel of the canary chapter, set to this chapter's cluster and namespace.

Comes in: the name of a VirtualService and of its route. Goes out: a widget. Who runs it: a notebook's cell. The panels made here are
remembered, so that cleaning up can stop their load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from meshcourse.core import errors
from meshcourse.lab import session

if TYPE_CHECKING:
    from meshcourse.widgets.panels.weights import WeightPanel

_made: list[WeightPanel] = []


def weight_panel(
    virtual_service: str = "web", *, route: str = "split", path: str = "/", headers: Mapping[str, str] | None = None
) -> WeightPanel:
    """Sliders for the weights of `virtual_service`, and what the traffic does. One panel at a time: a new one stops the one before."""
    from meshcourse.widgets.panels.weights import WeightPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    stop()
    begun = session.current()
    panel = WeightPanel(
        begun.connection,
        namespace=begun.namespace,
        virtual_service=virtual_service,
        route=route,
        url=begun.connection.ingress_url + path,
        headers=dict(headers or {}),
    )
    _made.append(panel)
    return panel


def panel() -> WeightPanel:
    """The panel that this notebook made last, for cells that drive it. Raises CourseError when there is none."""
    if not _made:
        raise errors.CourseError(
            "This notebook shows no panel.", why="none was made, or it was closed", next="run the cell that makes the panel"
        )
    return _made[-1]


def stop() -> None:
    """Stop the load of every panel of this kernel."""
    while _made:
        _made.pop().close()
