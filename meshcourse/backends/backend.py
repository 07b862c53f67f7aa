"""What every kind of cluster can do, in one protocol.

Lessons do not see it: they get a kubeconfig, an ingress URL and an environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Report = Callable[[str], None]
"""Called with one line of progress at a time."""


@dataclass(frozen=True)
class Component:
    """One program that the cluster runs. `since` is Unix time in seconds."""

    name: str
    state: str
    restarts: int
    since: float


@dataclass(frozen=True)
class Port:
    """A port of a Service (`namespace/name`) on this machine; `why` says why it does not answer, and is empty where it does."""

    service: str
    name: str
    address: str
    port: int
    why: str = ""

    @property
    def url(self) -> str:
        """How to reach it: a URL where the port's name tells the protocol, else address and port."""
        scheme = next((each for each in ("https", "http") if self.name.startswith(each)), "")
        usual = (scheme, self.port) in {("http", 80), ("https", 443)}
        where = self.address if usual else f"{self.address}:{self.port}"
        return f"{scheme}://{where}" if scheme else where


@dataclass(frozen=True)
class Status:
    """A running cluster, as `meshcourse status` shows it. `started` is Unix time in seconds; `version` the package's that started it.

    `egress`: pods have a way out of the cluster. `ports`: what Services have on this machine.
    `stopped`: nodes that `meshcourse node stop` has switched off.
    `fault` is a sentence about why it cannot be used just now, and `remedy` what to type then; the API server is not asked in that case.
    `images` says where an embedded cluster's images come from (settings.IMAGE_SOURCES); it is empty where a container runtime pulls them.
    """

    name: str
    backend: str
    version: str
    started: float
    api_url: str
    ingress_url: str
    kubeconfig: Path
    components: tuple[Component, ...]
    images: str = ""
    egress: bool = False
    ports: tuple[Port, ...] = ()
    stopped: tuple[str, ...] = ()
    fault: str = ""
    remedy: str = ""


class Backend(Protocol):
    """One cluster of one kind, whether it runs or not."""

    @property
    def name(self) -> str:
        """The cluster's name."""

    def up(self, report: Report) -> Status:
        """Start the cluster unless it runs already. Raises ClusterError, MissingPrerequisite, EngineError."""

    def down(self, report: Report = ...) -> bool:
        """Stop the cluster, or restore an existing one to what it was; False when it did not run. Raises ClusterError."""

    def status(self) -> Status:
        """The running cluster's status. Raises ClusterError when it does not run."""

    def kubeconfig(self) -> Path:
        """Its administrator's kubeconfig. Raises ClusterError when it does not run."""

    def ingress_url(self) -> str:
        """Where the ingress gateway's port 80 answers, without a trailing slash. Raises ClusterError when it does not run."""

    def environment(self) -> Mapping[str, str]:
        """KUBECONFIG, INGRESS_URL, MESHCOURSE_CLUSTER, and a PATH with kubectl and istioctl. Raises ClusterError, MissingPrerequisite."""

    def settle(self) -> None:
        """Finish the setup after Istio has been installed, so that the ingress URL leads to its gateway. Raises ClusterError."""
