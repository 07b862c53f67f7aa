"""Answers to chapter 2's exercises, right and wrong, on a cluster of their own: Istio comes and goes in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks.outcome import Verdict
from meshcourse.cluster import clusters
from meshcourse.course import chapters as course
from meshcourse.kube import commands
from meshcourse.kube.connection import Connection
from meshcourse.lab import istio_before
from meshcourse.lab.cluster_view import LiveWitness
from meshcourse.lab.session import Session
from meshcourse.mesh.injection import namespaces
from meshcourse.mesh.install import installation, istioctl

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MAPS = ("istio-ca-root-cert", "istio-ca-crl")
EVERYWHERE = ("default", "kube-system", "install")


@pytest.fixture(scope="module")
def bare(cluster: Any) -> Iterator[LiveWitness]:
    """A second cluster, without Istio."""
    name = f"bare-{os.getpid()}"
    started = clusters.up(name, ingress_port=0)
    connection = Connection(started.kubeconfig, started.ingress_url, {"PATH": cluster.environment["PATH"]})
    namespaces.create(connection, "install", by="tests")
    yield LiveWitness(connection, "install")
    clusters.down(name)


def kubectl(witness: LiveWitness, *words: str) -> None:
    done = commands.run(witness.connection, ["kubectl", *words], timeout=60.0)
    assert not done.code, done.complaint


def test_config_maps_must_go_from_every_namespace(bare: LiveWitness) -> None:
    """Section 5 leaves these two in each of these namespaces and nothing else, as lab.traces shows."""
    for namespace in EVERYWHERE:
        for name in MAPS:
            kubectl(bare, "-n", namespace, "create", "configmap", name)
    for number in ("2.1", "2.2"):
        assert judged(bare, number).verdict is Verdict.NOT_ATTEMPTED
    kubectl(bare, "create", "namespace", "istio-system")
    mistaken(judged(bare, "2.1"), "section 5")
    kubectl(bare, "delete", "namespace", "istio-system")
    kubectl(bare, "-n", "default", "delete", "configmap", *MAPS)
    mistaken(judged(bare, "2.1"), "one namespace at a time")
    for namespace in EVERYWHERE[1:]:
        kubectl(bare, "-n", namespace, "delete", "configmap", MAPS[0])
    mistaken(judged(bare, "2.1"), "there are two of them")
    for namespace in EVERYWHERE[1:]:
        kubectl(bare, "-n", namespace, "delete", "configmap", MAPS[1])
    assert judged(bare, "2.1").passed


CHOICES = (
    (("profile=minimal",), "minimal has no ingress"),
    (("profile=default",), "meshConfig.accessLogFile"),
    (("profile=default", "meshConfig.accessLogFile=/dev/stdout"), ""),
    (("profile=demo",), "default has none"),
)


def test_choice_is_judged_by_what_runs_and_the_cluster_is_left_as_it_was_found(bare: LiveWitness) -> None:
    begun = Session(course.find("02-install-uninstall"), bare.connection)
    istio_before.remember(begun)
    for settings, hint in CHOICES:
        istioctl.run(bare.connection, "install", *(word for each in settings for word in ("--set", each)), "-y", timeout=120.0)
        found = judged(bare, "2.2")
        if not hint:
            assert found.passed, found
            continue
        assert found.verdict is Verdict.NOT_YET, found
        assert hint in found.hint
    assert judged(bare, "2.1").verdict is Verdict.NOT_ATTEMPTED
    istio_before.remember(begun)  # a second run of the first cell must not forget how it was
    assert istio_before.recalled(begun) == "absent"
    assert "gone again" in istio_before.restore(begun, "absent", report=lambda _: None)
    assert installation.status(bare.connection) is None
    assert istio_before.recalled(begun) == ""
    assert istio_before.restore(begun, "absent", report=lambda _: None) == ""
    assert "here again" in istio_before.restore(begun, "installed", report=lambda _: None)
    assert installation.status(bare.connection) is not None
    assert istio_before.restore(begun, "installed", report=lambda _: None) == ""
