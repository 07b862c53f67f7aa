"""Clusters for rehearsals: new embedded ones that are stopped at the end, or an existing one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from meshcourse.backends import lookup
from meshcourse.backends.embedded import Embedded
from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import installation


@dataclass(frozen=True)
class Place:
    """A cluster to execute on, and the environment in which programs find it."""

    connection: Connection
    environment: Mapping[str, str]


@contextlib.contextmanager
def new(count: int, report: Callable[[str], None]) -> Iterator[tuple[Place, ...]]:
    """`count` embedded clusters with Istio's demo profile, started in parallel; they are always stopped at the end.

    They belong to this process's state folder (MESHCOURSE_STATE). Raises what starting a cluster raises.
    """
    clusters = [Embedded(f"rehearsal-{os.getpid()}-{number}", ingress_port=0) for number in range(1, count + 1)]
    with contextlib.ExitStack() as ends, ThreadPoolExecutor(count) as pool:
        for cluster in clusters:
            ends.callback(cluster.down)
        yield tuple(pool.map(lambda cluster: _started(cluster, report), clusters))


def _started(cluster: Embedded, report: Callable[[str], None]) -> Place:
    cluster.up(lambda line: report(f"{cluster.name}: {line}"))
    place = running(cluster.name)
    report(f"{cluster.name}: istioctl install --set profile=demo -y")
    installation.install(place.connection)
    return place


def running(name: str) -> Place:
    """The cluster `name`, of whatever backend. Raises ClusterError when it does not run."""
    cluster = lookup.find(name)
    environment = dict(cluster.environment())
    return Place(Connection(cluster.kubeconfig(), cluster.ingress_url(), environment), {**os.environ, **environment})


def existing() -> Place:
    """Whatever cluster KUBECONFIG and MESHCOURSE_INGRESS_URL name. Raises CourseError when they do not."""
    kubeconfig, url = os.environ.get("KUBECONFIG"), os.environ.get("MESHCOURSE_INGRESS_URL")
    if not kubeconfig or not url:
        raise errors.CourseError(
            "No existing cluster is named.",
            why="KUBECONFIG and MESHCOURSE_INGRESS_URL must be set",
            next="export KUBECONFIG=... MESHCOURSE_INGRESS_URL=http://...",
        )
    return Place(Connection(Path(kubeconfig), url.rstrip("/"), {}), dict(os.environ))
