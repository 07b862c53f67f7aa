"""A line to one proxy's admin interface: what `istioctl proxy-config` asks, without starting a program for each question."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self, cast

from kubernetes.client.exceptions import ApiException
from kubernetes.stream.ws_client import create_websocket, get_websocket_url
from websocket import ABNF, WebSocketException

from meshcourse.core import errors
from meshcourse.kube.connection import Connection

Json = dict[str, Any]
PORT: Final = 15000
_PATIENCE: Final = 10.0
_FIELD: Final = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")


class AdminConnection:
    """Opened by the first question, and again when it broke. Constructing it does no I/O. Threads wait for each other."""

    def __init__(self, connection: Connection, namespace: str, find_pod: Callable[[], str], *, port: int = PORT) -> None:
        """`find_pod` is asked for the pod's name each time that the connection is opened; it raises when there is none."""
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
        """Hang up. The next question opens the line again."""
        with self._lock:
            line, self._http = self._http, None
            if line is not None:
                with contextlib.suppress(OSError):
                    line.close()

    def get(self, path: str) -> str:
        """A page, such as `stats?filter=httpbin`. Raises KubernetesError when the proxy does not answer."""
        with self._lock:
            if self._http is not None:
                with contextlib.suppress(OSError, http.client.HTTPException, ApiException):
                    return self._ask(path)
            self.close()
            try:
                return self._ask(path)
            except (OSError, http.client.HTTPException, ApiException) as error:
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
        """The ports on which it takes connections now. A listener that still waits for its routes is not among them."""
        found = respelled(json.loads(self.get("listeners?format=json"))).get("listenerStatuses", ())
        return frozenset(str(each.get("localAddress", {}).get("socketAddress", {}).get("portValue", "")) for each in found)

    def clusters(self) -> list[Json]:
        """The clusters that istiod has sent."""
        return [each["cluster"] for each in self._dumped("dynamic_active_clusters") if "cluster" in each]

    def addresses(self) -> list[Json]:
        """Every cluster with the addresses in it and their health."""
        return list(respelled(json.loads(self.get("clusters?format=json"))).get("clusterStatuses", ()))

    def _dumped(self, resource: str) -> list[Json]:
        page = self.get(f"config_dump?resource={resource}")
        # For a kind of which it holds nothing Envoy answers in words.
        return list(respelled(json.loads(page)).get("configs", ())) if page.startswith("{") else []

    def _ask(self, path: str) -> str:
        if self._http is None:
            self._http = self._open()
        self._http.request("GET", f"/{path}")
        return self._http.getresponse().read().decode("utf-8", "replace")

    def _open(self) -> http.client.HTTPConnection:
        self._pod = self._find_pod()
        api, path = self._connection.api(), f"/api/v1/namespaces/{self._namespace}/pods/{self._pod}/portforward"
        _, url, headers, *_ = api.param_serialize("GET", path, query_params=[("ports", self._port)], auth_settings=["BearerToken"])
        headers = {name.lower(): value for name, value in headers.items()} | {"sec-websocket-protocol": "v4.channel.k8s.io"}
        opened = http.client.HTTPConnection("localhost", timeout=_PATIENCE)
        opened.sock = cast("Any", _Wire(api.configuration, get_websocket_url(url), headers))  # type: ignore[no-untyped-call]
        return opened


class _Wire:
    """One port of a port-forward, as the socket that http.client wants. The Kubernetes client's own stays open when a pod goes.

    Channel 0 carries the data and channel 1 the error; the first message of each holds the port's number only (kubelet's
    WebSocket protocol v4.channel.k8s.io).
    """

    def __init__(self, configuration: object, url: str, headers: dict[str, str]) -> None:
        with _as_os_error():
            self._websocket: Any = create_websocket(configuration, url, headers)  # type: ignore[no-untyped-call]
            self._websocket.settimeout(_PATIENCE)
        self._begun: set[int] = set()
        self._rest = b""

    def sendall(self, data: bytes) -> None:
        with _as_os_error():
            self._websocket.send_binary(b"\0" + data)

    def receive(self, most: int) -> bytes:
        """Up to `most` bytes; none at the end. Raises OSError when the pod's port cannot be reached."""
        while not self._rest:
            with _as_os_error():
                opcode, message = self._websocket.recv_data()
            if opcode == ABNF.OPCODE_CLOSE:
                return b""
            channel, data = message[0], message[1:]
            if channel not in self._begun:
                self._begun.add(channel)
            elif channel:
                raise ConnectionError(data.decode("utf-8", "replace"))
            else:
                self._rest = data
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - http.client reads bytes only
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        self._websocket.close(timeout=0)


class _Reader(io.RawIOBase):
    """What one answer is read from. Closing it leaves the wire open for the next."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        data = self._wire.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except WebSocketException as error:
        raise ConnectionError(str(error)) from error


def respelled(value: Any) -> Any:  # noqa: ANN401 - JSON has no one shape
    """JSON with Envoy's field names (`route_config`) spelled as istioctl prints them (`routeConfig`); other keys stay."""
    if isinstance(value, dict):
        return {(_camel(key) if _FIELD.fullmatch(key) else key): respelled(entry) for key, entry in value.items()}
    return [respelled(entry) for entry in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
