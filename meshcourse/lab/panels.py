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
    from meshcourse.widgets.panels.breaker import BreakerPanel
    from meshcourse.widgets.panels.injection import InjectionPanel
    from meshcourse.widgets.panels.panel import Panel
    from meshcourse.widgets.panels.retries import RetryPanel
    from meshcourse.widgets.panels.topology import TopologyPanel
    from meshcourse.widgets.panels.weights import WeightPanel

_made: list[WeightPanel | Panel] = []


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


def retry_panel(host: str = "chain.example.com", *, path: str = "/status/200") -> RetryPanel:
    """Sliders for the fault and the retries of chapter 8's chain, and what requests then go through. One panel at a time."""
    from meshcourse.widgets.panels.retries import RetryPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    stop()
    begun = session.current()
    panel = RetryPanel(begun.connection, namespace=begun.namespace, host=host, path=path)
    _made.append(panel)
    return panel


def topology_panel(path: str = "/productpage") -> TopologyPanel:
    """Who calls whom in this chapter's namespace, drawn each second; its buttons send requests for `path`. One panel at a time."""
    from meshcourse.widgets.panels.topology import TopologyPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    stop()
    begun = session.current()
    panel = TopologyPanel(begun.connection, namespace=begun.namespace, path=path)
    _made.append(panel)
    return panel


def injection_panel() -> InjectionPanel:
    """Labels to choose, a guess to make, and the API server's word on whether a pod gets a sidecar; its trial namespaces go at clean-up."""
    from meshcourse.widgets.panels.injection import InjectionPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    stop()
    begun = session.current()
    panel = InjectionPanel(begun.connection, prefix=f"{begun.namespace}-trial", by=begun.chapter.key)
    _made.append(panel)
    return panel


def breaker_panel(service: str = "httpbin", *, port: int = 8000, path: str = "/delay/0.1", callers: int = 3) -> BreakerPanel:
    """Sliders for chapter 6's DestinationRule and for the load, and what callers and their Envoy see. One panel at a time."""
    from meshcourse.widgets.panels.breaker import BreakerPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    stop()
    begun = session.current()
    panel = BreakerPanel(
        begun.connection,
        namespace=begun.namespace,
        rule=service,
        cluster=f"outbound|{port}||{service}.{begun.namespace}.svc.cluster.local",
        caller="fortio-deploy",
        url=begun.connection.ingress_url + path,
        host="breaker.example.com",
        failing=f"{service}-faulty",
        callers=callers,
    )
    _made.append(panel)
    return panel


def panel() -> WeightPanel | Panel:
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
