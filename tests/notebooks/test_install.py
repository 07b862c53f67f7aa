"""Chapter 2 leaves a cluster as it found it, on a cluster of its own, where Istio is installed and uninstalled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from judging import judged

from meshcourse.checks.outcome import Verdict
from meshcourse.cluster import clusters
from meshcourse.course import chapters as course
from meshcourse.kube.connection import Connection
from meshcourse.lab import istio_before
from meshcourse.lab.cluster_view import LiveClusterView
from meshcourse.lab.session import Session
from meshcourse.mesh.injection import namespaces
from meshcourse.mesh.install import installation, istioctl

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def bare(cluster: Any) -> Iterator[LiveClusterView]:
    """A second cluster, without Istio."""
    name = f"bare-{os.getpid()}"
    started = clusters.up(name, ingress_port=0)
    connection = Connection(started.kubeconfig, started.ingress_url, {"PATH": cluster.environment["PATH"]})
    namespaces.create(connection, "install", by="tests")
    yield LiveClusterView(connection, "install")
    clusters.down(name)


def test_the_cluster_is_left_as_it_was_found(bare: LiveClusterView) -> None:
    begun = Session(course.find("02-install-uninstall"), bare.connection)
    istio_before.remember(begun)
    istioctl.run(bare.connection, "install", "--set", "profile=minimal", "-y", timeout=120.0)
    assert judged(bare, "2.1").verdict is Verdict.NOT_ATTEMPTED
    istio_before.remember(begun)  # a second run of the first cell must not forget how it was
    assert istio_before.recalled(begun) == "absent"
    assert "uninstalled again" in istio_before.restore(begun, "absent", report=lambda _: None)
    assert installation.status(bare.connection) is None
    assert istio_before.recalled(begun) == ""
    assert istio_before.restore(begun, "absent", report=lambda _: None) == ""
    assert "installed again" in istio_before.restore(begun, "installed", report=lambda _: None)
    assert installation.status(bare.connection) is not None
    assert istio_before.restore(begun, "installed", report=lambda _: None) == ""
