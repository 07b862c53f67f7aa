"""The timeout of one http route of a VirtualService: reads it, and changes nothing else.

Blocking; a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshcourse.kube.connection import Connection
from meshcourse.mesh.envoy import route_actions
from meshcourse.mesh.rules.istio_object import Rule


def described_by(virtual_service: Mapping[str, Any], route: int = 0) -> float:
    """The route's timeout in seconds; 0 when it has none, which is Istio's default."""
    http = list(virtual_service.get("spec", {}).get("http") or ())
    return round(route_actions.seconds(http[route].get("timeout", "0s")), 3) if route < len(http) else 0.0


def patch(seconds: float, route: int = 0) -> list[dict[str, Any]]:
    """The JSON patch. Istio refuses `0s`, so for *no timeout* the field is added and then removed, which works in each case."""
    path = f"/spec/http/{route}/timeout"
    if seconds:
        return [{"op": "add", "path": path, "value": f"{round(seconds * 1000)}ms"}]
    return [{"op": "add", "path": path, "value": "1s"}, {"op": "remove", "path": path}]


def read(connection: Connection, namespace: str, virtual_service: str, route: int = 0) -> float:
    """The timeout that the API server holds. Raises KubernetesError when there is no such VirtualService."""
    return described_by(Rule(connection, namespace, virtual_service).read(), route)


def write(connection: Connection, namespace: str, virtual_service: str, seconds: float, route: int = 0) -> float:
    """Set the timeout and return what the API server then holds. Raises KubernetesError when it or Istio's webhook refuses."""
    return described_by(Rule(connection, namespace, virtual_service).patch(patch(seconds, route), "new timeouts"), route)
