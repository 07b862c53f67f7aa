"""What istiod has read, and what each Envoy has accepted of its pushes: istiod's debug pages, on port 15014 of its pods.

`istioctl proxy-status` reads the same. An Envoy answers each push: it acknowledges it, or rejects it with a message and keeps its former
configuration. Every istiod of the cluster is asked, since each knows only the proxies that are connected to it. Blocking.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from meshcourse.core import errors
from meshcourse.core.json_types import JsonMapping
from meshcourse.kube import pods, resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy.admin import AdminConnection
from meshcourse.mesh.install import installation

PORT: Final = 15014
KINDS: Final = {"clusters": "cluster", "listeners": "listener", "routes": "route"}
"""The kinds of configuration, by istioctl's name and the debug page's. Endpoints are compared with the pods themselves."""
_TYPES: Final = {"Cluster": "clusters", "Listener": "listeners", "RouteConfiguration": "routes", "ClusterLoadAssignment": "endpoints"}
_RECEIVED: Final = re.compile(r"^pilot_inbound_updates\{[^}]*\} (\S+)$", re.MULTILINE)
_TRANSLATED: Final = re.compile(r"^pilot_pushcontext_init_seconds_count (\S+)$", re.MULTILINE)
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True)
class Proxy:
    """One Envoy, as istiod sees it. `behind`: kinds sent and not acknowledged yet; `rejected`: kinds and Envoy's error messages."""

    namespace: str
    pod: str
    behind: frozenset[str] = frozenset()
    rejected: Mapping[str, str] | None = None

    @property
    def complaint(self) -> str:
        """`web-1 in namespace shop rejects its listeners: ...`; empty when it rejects nothing."""
        messages = "; ".join(f"{kind}: {message}" for kind, message in sorted((self.rejected or {}).items()))
        return f"the Envoy of pod {self.pod} in namespace {self.namespace} rejects its {messages}" if messages else ""


@dataclass(frozen=True)
class Seen:
    """One istiod at one moment: revisions of the objects that it has read, (kind, namespace, name) -> resourceVersion; and its proxies.

    `received` counts all changes that reached it, and `translated` how often it translated all that it had read.
    """

    read: Mapping[tuple[str, str, str], str]
    proxies: tuple[Proxy, ...]
    received: float
    translated: float


class Istiods:
    """Connections to every ready istiod. Entering it raises MeshError when there is none."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lines: list[AdminConnection] = []

    def __enter__(self) -> Self:
        found = resources.read(self._connection.core().list_namespaced_pod, installation.NAMESPACE).items
        names = [str(pod.metadata.name) for pod in found if (pod.metadata.labels or {}).get("app") == "istiod" and pods.is_ready(pod)]
        if not names:
            raise errors.MeshError(
                "No istiod is ready.",
                why="no rules are translated and sent to the Envoys: they keep the rules that they hold",
                next=f"kubectl -n {installation.NAMESPACE} get pods -l app=istiod",
            )
        self._lines = [_line(self._connection, name) for name in names]
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.close()

    def look(self) -> list[Seen]:
        """Each istiod's state now. Raises KubernetesError when one does not answer."""
        found = []
        for line in self._lines:
            read, metrics = revisions(_json(line, "debug/configz")), line.get("metrics")
            found.append(Seen(read, self._proxies(line), _total(_RECEIVED, metrics), _total(_TRANSLATED, metrics)))
        return found

    def proxies(self) -> list[Proxy]:
        """Every Envoy that is connected."""
        return [proxy for line in self._lines for proxy in self._proxies(line)]

    @staticmethod
    def _proxies(line: AdminConnection) -> tuple[Proxy, ...]:
        return tuple(proxies(_json(line, "debug/syncz")))


def _line(connection: Connection, pod: str) -> AdminConnection:
    return AdminConnection(connection, installation.NAMESPACE, lambda: pod, port=PORT)


def rejecting(connection: Connection) -> tuple[str, ...]:
    """A sentence for each Envoy that rejects what istiod sends. Raises MeshError or KubernetesError when istiod cannot be read."""
    with Istiods(connection) as istiods:
        return tuple(sorted(filter(None, (proxy.complaint for proxy in istiods.proxies()))))


def _json(line: AdminConnection, path: str) -> list[JsonMapping]:
    page = line.get(path)
    try:
        found = json.loads(page or "[]")
    except ValueError as error:
        raise errors.KubernetesError(
            f"istiod does not show its page /{path}.", why=page.strip()[:200], next="istioctl proxy-status    # reads the same"
        ) from error
    return list(found or ())


def revisions(configs: Iterable[JsonMapping]) -> dict[tuple[str, str, str], str]:
    """(kind, namespace, name) -> resourceVersion, from the page /debug/configz."""
    return {
        (str(each.get("kind", "")), str(meta.get("namespace", "")), str(meta.get("name", ""))): str(meta.get("resourceVersion", ""))
        for each in configs
        if (meta := each.get("metadata", {}))
    }


def proxies(page: Iterable[JsonMapping]) -> Iterator[Proxy]:
    """The proxies on the page /debug/syncz; entries that are no Envoy of a pod (istioctl's own request) are left out."""
    for each in page:
        pod, _, namespace = str(each.get("proxy", "")).rpartition(".")
        if not pod:
            continue
        rejected = {
            _TYPES.get(kind.rpartition(".")[2], kind.rpartition(".")[2]): _SPACE.sub(" ", str(found["lastError"]))
            for kind, found in (each.get("resources") or {}).items()
            if found.get("lastError")
        }
        behind = {name for name, key in KINDS.items() if each.get(f"{key}_sent") != each.get(f"{key}_acked")}
        yield Proxy(namespace, pod, frozenset(behind - set(rejected)), rejected)


def _total(wanted: re.Pattern[str], metrics: str) -> float:
    return sum(map(float, wanted.findall(metrics)))
