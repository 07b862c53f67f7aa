"""How long it takes from a stored VirtualService until the proxies hold it.

Each Envoy's routes are read every few milliseconds over an open connection; all times are of this machine's clock. The object goes straight
to the API server: starting kubectl takes longer than the push.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from meshcourse.core import errors
from meshcourse.core.json_types import JsonMapping
from meshcourse.kube import api_versions, resources
from meshcourse.kube.connection import Connection
from meshcourse.measure.admin import AdminLine
from meshcourse.mesh import istiod
from meshcourse.mesh.injection import sidecars

PLURAL: Final = "virtualservices"
QUIET: Final = 0.6
"""Seconds without a change after which a burst counts as over; istiod waits a tenth of that."""
EVERY: Final = 0.005
PATIENCE: Final = 10.0
_ROUTES: Final = "config_dump?resource=dynamic_route_configs"
_ORIGIN: Final = "/apis/networking.istio.io/v1/namespaces/{}/virtual-service/{}"


@dataclass(frozen=True)
class Push:
    """`stored` is how long the API server took; `arrivals` the seconds from then until each proxy held it, None where it never did.

    `rejected` has a sentence for each of these proxies that rejects what istiod sends. `unchanged` means that the object already was as
    wanted: then nothing is pushed, and there are no arrivals.
    """

    stored: float
    arrivals: Mapping[str, float | None]
    unchanged: bool = False
    rejected: tuple[str, ...] = ()


def measure(connection: Connection, manifest: JsonMapping, namespace: str, deployments: Sequence[tuple[str, str]]) -> Push:
    """Store the VirtualService and wait until each (namespace, Deployment) holds it.

    Raises KubernetesError when the API server or the webhook refuses it, or a proxy does not answer.
    """
    name = str(manifest["metadata"]["name"])
    origin = _ORIGIN.format(namespace, name)
    lines = {f"{deployment}.{where}": AdminLine(connection, where, deployment) for where, deployment in deployments}
    try:
        with ThreadPoolExecutor(max_workers=max(1, len(lines))) as several:
            before = dict(zip(lines, several.map(lambda line: held(line.get(_ROUTES), origin), lines.values()), strict=True))
            began = time.monotonic()
            changed = _store(connection, manifest, namespace, name)
            stored = time.monotonic()
            if not changed:
                return Push(stored - began, {}, unchanged=True)
            watched = several.map(lambda each: _watch(lines[each], origin, before[each], stored), lines)
            arrivals = dict(zip(lines, watched, strict=True))
            return Push(stored - began, arrivals, rejected=_rejected(connection, deployments))
    finally:
        for line in lines.values():
            line.close()


def _rejected(connection: Connection, deployments: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Error messages of these Deployments' Envoys; none where istiod cannot be read."""
    own = {(namespace, pod) for namespace, name in deployments for pod in sidecars.proxied(connection, namespace, name)}
    with contextlib.suppress(errors.MeshcourseError), istiod.Istiods(connection) as istiods:
        return tuple(each.complaint for each in istiods.proxies() if each.complaint and (each.namespace, each.pod) in own)
    return ()


@dataclass(frozen=True)
class Burst:
    """Changes stored without a pause, in `stored` seconds, and in how many steps each proxy then changed (None: no change)."""

    stored: float
    steps: Mapping[str, int | None]


def burst(connection: Connection, manifests: Sequence[JsonMapping], namespace: str, deployments: Sequence[tuple[str, str]]) -> Burst:
    """Store versions of one VirtualService without a pause, and count the changes at the proxies: istiod merges changes before it pushes.

    Raises KubernetesError when the API server or the webhook refuses one, or a proxy does not answer.
    """
    name = str(manifests[-1]["metadata"]["name"])
    origin = _ORIGIN.format(namespace, name)
    lines = {f"{deployment}.{where}": AdminLine(connection, where, deployment) for where, deployment in deployments}
    ended = threading.Event()
    try:
        with ThreadPoolExecutor(max_workers=len(lines) + len(manifests)) as several:
            before = dict(zip(lines, several.map(lambda line: held(line.get(_ROUTES), origin), lines.values()), strict=True))
            counted = {each: several.submit(_count, lines[each], origin, before[each], ended) for each in lines}
            began = time.monotonic()
            try:
                list(several.map(lambda manifest: _store(connection, manifest, namespace, name), manifests))
            finally:
                ended.set()
            stored = time.monotonic() - began
            return Burst(stored, {each: found.result() for each, found in counted.items()})
    finally:
        for line in lines.values():
            line.close()


def _count(line: AdminLine, origin: str, before: str, ended: threading.Event) -> int | None:
    """How often the routes change, until QUIET seconds pass without a change after the end."""
    steps, last = 0, 0.0
    latest: float | None = None
    while latest is None or time.monotonic() - latest < PATIENCE:
        now = time.monotonic()
        if ended.is_set():
            latest = latest or now
            if steps and now - max(last, latest) > QUIET:
                return steps
        routes = held(line.get(_ROUTES), origin)
        if routes not in {"[]", before}:
            steps, last, before = steps + 1, now, routes
        time.sleep(max(0.0, EVERY - (time.monotonic() - now)))
    return steps or None


def _store(connection: Connection, manifest: JsonMapping, namespace: str, name: str) -> bool:
    """Create or update the object; returns whether that changed it."""
    api = connection.custom()
    group = api_versions.networking(connection)
    found = resources.read(api.get_namespaced_custom_object, *group, namespace, PLURAL, name)
    if found is None:
        resources.read(api.create_namespaced_custom_object, *group, namespace, PLURAL, {**manifest, "apiVersion": "/".join(group)})
        return True
    now = resources.read(api.patch_namespaced_custom_object, *group, namespace, PLURAL, name, {"spec": manifest["spec"]})
    return bool(now["metadata"]["generation"] != found["metadata"]["generation"])


def _watch(line: AdminLine, origin: str, before: str, stored: float) -> float | None:
    while (now := time.monotonic()) - stored < PATIENCE:
        routes = held(line.get(_ROUTES), origin)
        if routes not in {"[]", before}:
            return time.monotonic() - stored
        time.sleep(max(0.0, EVERY - (time.monotonic() - now)))
    return None


def held(page: str, origin: str) -> str:
    """The routes that come from one VirtualService in Envoy's dump of its route tables, as text to compare; `[]` when there are none."""
    found = [
        route
        for table in json.loads(page or "{}").get("configs", ())
        for host in table.get("route_config", {}).get("virtual_hosts", ())
        for route in host.get("routes", ())
        if route.get("metadata", {}).get("filter_metadata", {}).get("istio", {}).get("config") == origin
    ]
    return json.dumps(found, sort_keys=True)
