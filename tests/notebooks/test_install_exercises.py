"""Answers to chapter 2's exercises, right and wrong, on a cluster of their own: Istio comes and goes in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from judging import judged, mistaken

from meshcourse.checks.outcome import Verdict
from meshcourse.cluster import clusters
from meshcourse.lab import beforehand
from meshcourse.lab import chapters as course
from meshcourse.lab.session import Session
from meshcourse.lab.witness import LiveWitness
from meshcourse.mesh import commands, injection, installation, istioctl
from meshcourse.mesh.connection import Connection

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MAPS = ("istio-ca-root-cert", "istio-ca-crl")
EVERYWHERE = ("default", "kube-system", "install")


@pytest.fixture(scope="module")
def bare(cluster: Any) -> Iterator[LiveWitness]:
    """A second cluster, without Istio."""
    name = f"bare-{os.getpid()}"
    started = clusters.up(name, ingress_port=0)
    connection = Connection(started.kubeconfig, started.ingress_url, {"PATH": cluster.environment["PATH"]})
    injection.create(connection, "install", by="tests")
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
    beforehand.remember(begun)
    for settings, hint in CHOICES:
        istioctl.run(bare.connection, "install", *(word for each in settings for word in ("--set", each)), "-y", timeout=120.0)
        found = judged(bare, "2.2")
        if not hint:
            assert found.passed, found
            continue
        assert found.verdict is Verdict.NOT_YET, found
        assert hint in found.hint
    assert judged(bare, "2.1").verdict is Verdict.NOT_ATTEMPTED
    beforehand.remember(begun)  # a second run of the first cell must not forget how it was
    assert beforehand.recalled(begun) == "absent"
    assert "gone again" in beforehand.restore(begun, "absent", report=lambda _: None)
    assert installation.status(bare.connection) is None
    assert beforehand.recalled(begun) == ""
    assert beforehand.restore(begun, "absent", report=lambda _: None) == ""
    assert "here again" in beforehand.restore(begun, "installed", report=lambda _: None)
    assert installation.status(bare.connection) is not None
    assert beforehand.restore(begun, "installed", report=lambda _: None) == ""
