"""lab.weight_panel, lab.breaker_panel and the others, lab.panel: live panels, set to this chapter's cluster and namespace.

The panels made here are remembered, so that cleaning up can stop their load. Several may be open at once; one of the same kind for the same
objects closes the one before it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from meshcourse.core import errors
from meshcourse.lab import session
from meshcourse.lab.start import say
from meshcourse.mesh.install import installation

if TYPE_CHECKING:
    from meshcourse.widgets.panels.breaker import BreakerPanel
    from meshcourse.widgets.panels.faults import FaultPanel
    from meshcourse.widgets.panels.injection import InjectionPanel
    from meshcourse.widgets.panels.inspector import InspectorPanel
    from meshcourse.widgets.panels.objectives import ObjectivePanel
    from meshcourse.widgets.panels.panel import Panel
    from meshcourse.widgets.panels.player import Player
    from meshcourse.widgets.panels.profiles import ProfilePanel
    from meshcourse.widgets.panels.pushes import PushPanel
    from meshcourse.widgets.panels.retries import RetryPanel
    from meshcourse.widgets.panels.rollout import RolloutPanel
    from meshcourse.widgets.panels.timeout import TimeoutPanel
    from meshcourse.widgets.panels.topology import TopologyPanel
    from meshcourse.widgets.panels.weights import WeightPanel

_made: list[Panel[Any, Any]] = []


@runtime_checkable
class Loaded(Protocol):
    """A panel that sends load."""

    @property
    def running(self) -> bool:
        """Whether it does now."""
        ...

    def start(self) -> None:
        """Send, as the panel's controls say."""
        ...

    def stop(self) -> None:
        """Send no more."""
        ...


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """The load of this notebook's panels rests: a check that counts what arrives at pods knows only what it sends itself."""
    sending = [panel for panel in _made if isinstance(panel, Loaded) and panel.running]
    for panel in sending:
        panel.stop()
    if sending:
        say("  (the load of your panel rests while this is counted)")
    try:
        yield
    finally:
        for panel in sending:
            panel.start()


def weight_panel(
    virtual_service: str = "web", *, route: str = "split", path: str = "/", headers: Mapping[str, str] | None = None
) -> WeightPanel:
    """Sliders for the weights of `virtual_service`, and what the traffic does."""
    from meshcourse.widgets.panels.weights import WeightPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

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


def rollout_panel(virtual_service: str = "web", *, version: str = "v2", route: str = "split", path: str = "/") -> RolloutPanel:
    """The weight panel with an automatic canary: step, watch, go on or go back."""
    from meshcourse.widgets.panels.rollout import RolloutPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    url = begun.connection.ingress_url + path
    panel = RolloutPanel(
        begun.connection, version=version, namespace=begun.namespace, virtual_service=virtual_service, route=route, url=url
    )
    _made.append(panel)
    return panel


def retry_panel(host: str = "chain.example.com", *, path: str = "/status/200") -> RetryPanel:
    """Sliders for the fault and the retries of chapter 8's chain, and what requests then go through."""
    from meshcourse.widgets.panels.retries import RetryPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = RetryPanel(begun.connection, namespace=begun.namespace, host=host, path=path)
    _made.append(panel)
    return panel


def fault_panel(virtual_service: str = "tomcat", *, host: str = "store.example.com", path: str = "/") -> FaultPanel:
    """Sliders for delays and aborts of a VirtualService, for everybody or by header, and whom they hit."""
    from meshcourse.widgets.panels.faults import FaultPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = FaultPanel(begun.connection, namespace=begun.namespace, virtual_service=virtual_service, host=host, path=path)
    _made.append(panel)
    return panel


def topology_panel(path: str = "/productpage") -> TopologyPanel:
    """Who calls whom in this chapter's namespace, drawn each second; its buttons send requests for `path`."""
    from meshcourse.widgets.panels.topology import TopologyPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = TopologyPanel(begun.connection, namespace=begun.namespace, path=path)
    _made.append(panel)
    return panel


def injection_panel() -> InjectionPanel:
    """Labels to choose, a guess to make, and the API server's word on whether a pod gets a sidecar; its trial namespaces go at clean-up."""
    from meshcourse.widgets.panels.injection import InjectionPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = InjectionPanel(begun.connection, prefix=f"{begun.namespace}-trial", by=begun.chapter.key)
    _made.append(panel)
    return panel


def breaker_panel(service: str = "httpbin", *, port: int = 8000, path: str = "/delay/0.1", callers: int = 3) -> BreakerPanel:
    """Sliders for chapter 6's DestinationRule and for the load, and what callers and their Envoy see."""
    from meshcourse.widgets.panels.breaker import BreakerPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

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


def timeout_panel(host: str = "slow.example.com", *, delay: float = 2.0) -> TimeoutPanel:
    """Sliders for how long chapter 7's tomcat takes and who waits how long, and a request hop by hop."""
    from meshcourse.measure.request_hops import Place  # noqa: PLC0415 - with the panel
    from meshcourse.widgets.panels.timeout import Limit, TimeoutPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = TimeoutPanel(
        begun.connection,
        namespace=begun.namespace,
        url=f"{begun.connection.ingress_url}/slow?seconds={{seconds}}",
        host=host,
        places=(
            Place("the gateway to nginx", installation.NAMESPACE, installation.INGRESS),
            Place("nginx's Envoy, in", begun.namespace, "nginx", inward=True),
            Place("nginx's Envoy to tomcat", begun.namespace, "nginx"),
            Place("tomcat's Envoy, in", begun.namespace, "tomcat", inward=True),
        ),
        limits=(Limit("slow", "the gateway waits, s"), Limit("tomcat", "nginx's Envoy waits, s")),
        worker="tomcat",
        delay=delay,
    )
    _made.append(panel)
    return panel


def objective_panel(host: str = "checkout.example.com", *, app: str = "checkout", version: str = "v2") -> ObjectivePanel:
    """The capstone's board: a given load, and live whether the release holds its objectives."""
    from meshcourse.widgets.panels.objectives import ObjectivePanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = ObjectivePanel(begun.connection, namespace=begun.namespace, host=host, labels={"app": app, "version": version})
    _made.append(panel)
    return panel


def inspector_panel(path: str = "/") -> InspectorPanel:
    """One request: which route the gateway takes and why it passes the others over, and every proxy on the way."""
    from meshcourse.widgets.panels.inspector import InspectorPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = InspectorPanel(begun.connection, namespace=begun.namespace, path=path)
    _made.append(panel)
    return panel


def profile_panel() -> ProfilePanel:
    """Two of Istio's installation profiles side by side."""
    from meshcourse.widgets.panels.profiles import ProfilePanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    panel = ProfilePanel(session.current().connection)
    _made.append(panel)
    return panel


def push_panel(virtual_service: str = "web", *workloads: str) -> PushPanel:
    """Give istiod orders and time them to the Envoys of `workloads`, all of the chapter's without any."""
    from meshcourse.lab import push_timing  # noqa: PLC0415 - only this panel needs it
    from meshcourse.widgets.panels.pushes import PushPanel  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    panel = PushPanel(begun.connection, namespace=begun.namespace, virtual_service=virtual_service, proxies=push_timing.places(*workloads))
    _made.append(panel)
    return panel


def replay(path: str | Path, *, speed: float = 1.0) -> Player:
    """A run that `panel.record(path)` saved: its figures and words again, without a cluster. Raises TrafficError for another file."""
    from meshcourse.widgets import playback  # noqa: PLC0415 - with the panel
    from meshcourse.widgets.panels.player import Player  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    made = Player(playback.load(Path(path)), name=str(path), speed=speed)
    _made.append(made)
    return made


def panel() -> Panel[Any, Any]:
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
