"""lab.weight_panel, lab.breaker_panel and the others, lab.panel: live panels, set to this chapter's cluster and namespace.

The panels made here are kept in a list, so that cleaning up can stop their load. Several may be open at once; one of the same kind for the
same objects closes the one before it.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from meshcourse.core import errors
from meshcourse.lab import session
from meshcourse.lab.output import say
from meshcourse.measure.objectives import Objectives
from meshcourse.mesh.envoy.cluster_names import ClusterName
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
        """Whether it is sending."""
        ...

    def start(self) -> None:
        """Send, by the panel's controls."""
        ...

    def stop(self) -> None:
        """Stop sending."""
        ...


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """Pause the load of all open panels: a check that counts requests at pods knows only those that it sends itself."""
    sending = [panel for panel in _made if isinstance(panel, Loaded) and panel.running]
    for panel in sending:
        panel.stop()
    if sending:
        say("  (the load of your panel pauses while the check counts)")
    try:
        yield
    finally:
        for panel in sending:
            panel.start()


def _make(module: str, name: str, **more: Any) -> Any:  # noqa: ANN401 - the class of that name; the caller says which
    """A panel of the chapter's cluster. Imports its module only now: plotly takes a second, which a chapter's first cell does not need."""
    made = getattr(importlib.import_module(f"meshcourse.widgets.panels.{module}"), name)(session.current().connection, **more)
    _made.append(made)
    return made


def weight_panel(
    virtual_service: str = "web",
    *,
    route: str | None = None,
    path: str = "/",
    host: str = "",
    headers: Mapping[str, str] | None = None,
) -> WeightPanel:
    """Sliders for the weights of `virtual_service`, and the resulting traffic.

    Without `route`, a name or a number, it takes the first that splits traffic; without `host`, a host of the rule.
    """
    begun = session.current()
    url, more = begun.connection.ingress_url + path, {"host": host, "headers": dict(headers or {})}
    made: WeightPanel = _make(
        "weights", "WeightPanel", namespace=begun.namespace, virtual_service=virtual_service, route=route, url=url, **more
    )
    return made


def rollout_panel(
    virtual_service: str = "web",
    *,
    version: str = "v2",
    route: str | None = None,
    path: str = "/",
    host: str = "",
    deployment: str = "",
) -> RolloutPanel:
    """The weight panel with an automatic canary: step, watch, continue or roll back.

    `deployment` is the new version's (default `web-v2`): the panel has a switch that removes its pods.
    """
    begun = session.current()
    url, deployment = begun.connection.ingress_url + path, deployment or f"{virtual_service}-{version}"
    where = {"namespace": begun.namespace, "virtual_service": virtual_service, "route": route, "url": url, "host": host}
    made: RolloutPanel = _make("rollout", "RolloutPanel", version=version, deployment=deployment, **where)
    return made


def retry_panel(host: str = "chain.example.com", *, path: str = "/status/200") -> RetryPanel:
    """Sliders for the fault and the retries of chapter 8's chain, and the resulting success and load."""
    made: RetryPanel = _make("retries", "RetryPanel", namespace=session.current().namespace, host=host, path=path)
    return made


def fault_panel(virtual_service: str = "tomcat", *, host: str = "store.example.com", path: str = "/") -> FaultPanel:
    """Sliders for delays and aborts of a VirtualService, for all requests or by header, and which callers they affect."""
    where = {"namespace": session.current().namespace, "virtual_service": virtual_service}
    made: FaultPanel = _make("faults", "FaultPanel", host=host, path=path, **where)
    return made


def topology_panel(path: str = "/productpage") -> TopologyPanel:
    """Who calls whom in this chapter's namespace, drawn each second; its buttons send requests for `path`."""
    made: TopologyPanel = _make("topology", "TopologyPanel", namespace=session.current().namespace, path=path)
    return made


def injection_panel() -> InjectionPanel:
    """Labels to choose, a guess, and the API server's decision whether a pod gets a sidecar; clean-up deletes its trial namespaces."""
    begun = session.current()
    made: InjectionPanel = _make("injection", "InjectionPanel", prefix=f"{begun.namespace}-trial", by=begun.chapter.key)
    return made


def breaker_panel(
    service: str = "httpbin", *, port: int = 8000, path: str = "/delay/0.1", host: str = "breaker.example.com", callers: int = 3
) -> BreakerPanel:
    """Sliders for chapter 6's DestinationRule and for the load, and what callers and their Envoy see."""
    begun = session.current()
    made: BreakerPanel = _make(
        "breaker",
        "BreakerPanel",
        namespace=begun.namespace,
        rule=service,
        cluster=str(ClusterName.outbound(f"{service}.{begun.namespace}.svc.cluster.local", port)),
        caller="fortio-deploy",
        url=begun.connection.ingress_url + path,
        host=host,
        failing=f"{service}-faulty",
        callers=callers,
    )
    return made


def timeout_panel(host: str = "slow.example.com", *, delay: float = 2.0) -> TimeoutPanel:
    """Sliders for the delay of chapter 7's tomcat and for each hop's timeout, and a request hop by hop."""
    from meshcourse.measure.request_hops import Place  # noqa: PLC0415 - with the panel
    from meshcourse.widgets.panels.timeout import Limit  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    begun = session.current()
    made: TimeoutPanel = _make(
        "timeout",
        "TimeoutPanel",
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
    return made


def objective_panel(host: str = "checkout.example.com", *, app: str = "checkout", version: str = "v2") -> ObjectivePanel:
    """The capstone's panel: a given load, and live whether the release meets its objectives."""
    where = {"namespace": session.current().namespace, "host": host}
    wanted = Objectives(version=version)
    made: ObjectivePanel = _make("objectives", "ObjectivePanel", labels={"app": app, "version": version}, wanted=wanted, **where)
    return made


def inspector_panel(path: str = "/") -> InspectorPanel:
    """One request: which route the gateway takes, why not the others, and every proxy that it passes."""
    made: InspectorPanel = _make("inspector", "InspectorPanel", namespace=session.current().namespace, path=path)
    return made


def profile_panel() -> ProfilePanel:
    """Two of Istio's installation profiles side by side."""
    made: ProfilePanel = _make("profiles", "ProfilePanel")
    return made


def push_panel(virtual_service: str = "web", *workloads: str) -> PushPanel:
    """Push changes through istiod and time them to the Envoys of `workloads` (default: all of the chapter's)."""
    from meshcourse.lab import push_timing  # noqa: PLC0415 - only this panel needs it

    where = {"namespace": session.current().namespace, "virtual_service": virtual_service}
    made: PushPanel = _make("pushes", "PushPanel", proxies=push_timing.places(*workloads), **where)
    return made


def replay(path: str | Path, *, speed: float = 1.0) -> Player:
    """Replay a run that `panel.record(path)` saved: figures and texts, without a cluster. Raises TrafficError for another file."""
    from meshcourse.widgets import playback  # noqa: PLC0415 - with the panel
    from meshcourse.widgets.panels.player import Player  # noqa: PLC0415 - plotly takes a second; the first cell does not need it

    made = Player(playback.load(Path(path)), name=str(path), speed=speed)
    _made.append(made)
    return made


def panel() -> Panel[Any, Any]:
    """The panel that this notebook opened last, for cells that control it. Raises CourseError when there is none."""
    if not _made:
        raise errors.CourseError(
            "This notebook shows no panel.", why="none was made, or it was closed", next="run the cell that makes the panel"
        )
    return _made[-1]


def stop() -> None:
    """Stop the load of every panel of this kernel."""
    while _made:
        _made.pop().close()
