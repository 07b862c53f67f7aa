"""What every backend promises, one suite for all that can run here. `existing` gets nothing of the embedded cluster but its kubeconfig.

kind needs Docker: tests/backends/test_kind.py holds its part against recorded programs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshcourse.backends import lookup
from meshcourse.backends.backend import Backend
from meshcourse.backends.embedded import Embedded
from meshcourse.backends.existing import Existing
from meshcourse.core.errors import ClusterError

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Subject:
    """A backend that is up, and one of the same kind and name as whoever comes later would make it."""

    backend: Backend
    kind: str


@pytest.fixture(scope="module", params=["embedded", "existing"])
def subject(request: pytest.FixtureRequest, cluster: Any, learner: Callable[..., Path]) -> Iterator[Subject]:
    if request.param == "embedded":
        yield Subject(Embedded(cluster.name), "embedded")
        return
    backend = Existing("contract", str(learner("ann")))
    backend.up(lambda _: None)
    yield Subject(backend, "existing")
    backend.down()


def shell(backend: Backend, script: str) -> str:
    environment = {**os.environ, **backend.environment()}
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def test_up_again_finds_it_and_changes_nothing(subject: Subject) -> None:
    before = subject.backend.status()
    assert subject.backend.up(lambda _: None) == before


def test_status_says_what_it_is_and_where(subject: Subject) -> None:
    found = subject.backend.status()
    assert (found.name, found.backend) == (subject.backend.name, subject.kind)
    assert found.api_url.startswith("https://")
    assert found.kubeconfig == subject.backend.kubeconfig()
    assert found.ingress_url == subject.backend.ingress_url()
    assert not found.ingress_url.endswith("/")


def test_kubeconfig_is_its_owners_alone(subject: Subject) -> None:
    assert subject.backend.kubeconfig().stat().st_mode & 0o077 == 0


def test_environment_is_all_that_a_shell_needs(subject: Subject) -> None:
    assert shell(subject.backend, "kubectl get nodes -o name").startswith("node/")
    assert "1.31.0" in shell(subject.backend, "istioctl version")
    assert shell(subject.backend, 'printf "$MESHCOURSE_CLUSTER $INGRESS_URL"') == f"{subject.backend.name} {subject.backend.ingress_url()}"


def test_it_is_found_by_its_name(subject: Subject) -> None:
    assert lookup.find(subject.backend.name).status() == subject.backend.status()
    assert lookup.runs(subject.backend.name)


@pytest.mark.parametrize("absent", [Embedded("absent"), Existing("absent")], ids=["embedded", "existing"])
def test_one_that_does_not_run_says_what_to_type(absent: Backend, cluster: Any) -> None:
    asked: list[Callable[[], object]] = [absent.status, absent.kubeconfig, absent.ingress_url, absent.environment]
    for question in asked:
        with pytest.raises(ClusterError, match='"absent"') as refused:
            question()
        assert "meshcourse up" in refused.value.next
    assert absent.down() is False
