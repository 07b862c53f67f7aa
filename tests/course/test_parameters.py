"""Parameters of a run by machine: set once, seen by what sends load, refused when they make no sense."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcourse.backends import records
from meshcourse.backends.records import Record
from meshcourse.core import errors
from meshcourse.course import parameters


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests set goes with them."""
    for name in (parameters.SECONDS, parameters.SEED, "KUBECONFIG", "MESHCOURSE_INGRESS_URL"):
        monkeypatch.setenv(name, "")


def test_without_a_run_the_course_decides() -> None:
    parameters.parametrise()
    assert parameters.seconds(10) == 10
    assert parameters.seed() == 0


def test_a_run_decides_for_every_load() -> None:
    parameters.parametrise(seconds=2.5, seed=7)
    assert parameters.seconds(10) == 2.5
    assert parameters.seed() == 7


def test_existing_needs_a_cluster_and_embedded_wants_none_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.CourseError) as caught:
        parameters.parametrise(backend="existing")
    assert "MESHCOURSE_INGRESS_URL" in caught.value.why
    monkeypatch.setenv("KUBECONFIG", "/kubeconfig")
    monkeypatch.setenv("MESHCOURSE_INGRESS_URL", "http://127.0.0.1:1")
    parameters.parametrise(backend="existing")
    parameters.parametrise(backend="embedded")
    assert "MESHCOURSE_INGRESS_URL" not in os.environ


@pytest.mark.parametrize("wrong", [{"backend": "minikube"}, {"seconds": -1.0}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(errors.CourseError):
        parameters.parametrise(**wrong)  # type: ignore[arg-type]


def test_kind_wants_a_kind_cluster_of_that_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path))
    monkeypatch.setenv("MESHCOURSE_CLUSTER", "lab")
    with pytest.raises(errors.CourseError, match="no kind cluster called lab") as refused:
        parameters.parametrise(backend="kind")
    assert "meshcourse up --name lab --backend kind" in refused.value.next
    records.write(Record("lab", records.EXISTING, 0.0))
    with pytest.raises(errors.CourseError, match="no kind cluster called lab") as refused:
        parameters.parametrise(backend="kind")
    assert "backend existing" in refused.value.why
    records.write(Record("lab", records.KIND, 0.0))
    parameters.parametrise(backend="kind")
