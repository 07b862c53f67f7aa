"""A kept-open connection to one Envoy's admin API: what `istioctl proxy-config` reads, without a program for each request."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from meshcourse.core import errors
from meshcourse.core.json_types import Json
from meshcourse.kube import port_forward
from meshcourse.kube.connection import Connection

PORT: Final = 15000
_FIELD: Final = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")


class AdminConnection:
    """Opens at the first request, and again after an error. Constructing it does no I/O. Threads use it one at a time."""

    def __init__(self, connection: Connection, namespace: str, find_pod: Callable[[], str], *, port: int = PORT) -> None:
        """`find_pod` returns the pod's name, each time the connection is opened; it raises when there is none."""
        self._connection = connection
        self._namespace = namespace
        self._find_pod = find_pod
        self._pod = ""
        self._port = port
        self._lock = threading.RLock()
        self._http: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The next request opens it again."""
        with self._lock:
            line, self._http = self._http, None
            if line is not None:
                with contextlib.suppress(OSError):
                    line.close()

    def get(self, path: str) -> str:
        """The text of a page, such as `stats?filter=httpbin`. Raises KubernetesError when the proxy does not answer."""
        with self._lock:
            if self._http is not None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    return self._ask(path)
            self.close()
            try:
                return self._ask(path)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise errors.KubernetesError(
                    f"{'The proxy of' if self._port == PORT else 'Pod'} {self._pod} in namespace {self._namespace} does not answer.",
                    why=str(error) or type(error).__name__,
                    next=f"kubectl -n {self._namespace} get pods    # is it ready, 2/2?",
                ) from error

    def routes(self) -> list[Json]:
        """The route tables that istiod has sent."""
        return [each["routeConfig"] for each in self._dumped("dynamic_route_configs") if "routeConfig" in each]

    def ports(self) -> frozenset[str]:
        """The ports on which it listens now. A listener that still waits for its routes is not among them."""
        found = respelled(json.loads(self.get("listeners?format=json"))).get("listenerStatuses", ())
        return frozenset(str(each.get("localAddress", {}).get("socketAddress", {}).get("portValue", "")) for each in found)

    def clusters(self) -> list[Json]:
        """The clusters that istiod has sent."""
        return [each["cluster"] for each in self._dumped("dynamic_active_clusters") if "cluster" in each]

    def addresses(self) -> list[Json]:
        """Every cluster with its endpoints' addresses and health."""
        return list(respelled(json.loads(self.get("clusters?format=json"))).get("clusterStatuses", ()))

    def _dumped(self, resource: str) -> list[Json]:
        page = self.get(f"config_dump?resource={resource}")
        # For a kind of which it holds nothing Envoy answers with plain text.
        return list(respelled(json.loads(page)).get("configs", ())) if page.startswith("{") else []

    def _ask(self, path: str) -> str:
        if self._http is None:
            self._http = self._open()
        self._http.request("GET", f"/{path}")
        return self._http.getresponse().read().decode("utf-8", "replace")

    def _open(self) -> http.client.HTTPConnection:
        self._pod = self._find_pod()
        return port_forward.connect(self._connection, self._namespace, self._pod, self._port)


def respelled(value: Any) -> Any:  # noqa: ANN401 - JSON has no one shape
    """JSON with Envoy's field names (`route_config`) in istioctl's spelling (`routeConfig`); other keys stay."""
    if isinstance(value, dict):
        return {(_camel(key) if _FIELD.fullmatch(key) else key): respelled(entry) for key, entry in value.items()}
    return [respelled(entry) for entry in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
