"""HTTP to a port of a pod, through the API server's port-forward, without a program in between. Blocking."""

from __future__ import annotations

import contextlib
import http.client
import io
from collections.abc import Iterator
from typing import Any, Final, cast

from kubernetes.client.exceptions import ApiException
from kubernetes.stream.ws_client import create_websocket, get_websocket_url
from websocket import ABNF, WebSocketException

from meshcourse.kube.connection import Connection

_PATIENCE: Final = 10.0


def connect(connection: Connection, namespace: str, pod: str, port: int) -> http.client.HTTPConnection:
    """An open connection to `port` of `pod`. Raises OSError when the API server refuses or the port cannot be reached."""
    api, path = connection.api(), f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
    _, url, headers, *_ = api.param_serialize("GET", path, query_params=[("ports", port)], auth_settings=["BearerToken"])
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
    except (WebSocketException, ApiException) as error:
        raise ConnectionError(str(error)) from error
