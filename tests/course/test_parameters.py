"""The backend of an automatic run: chosen once, refused when it is invalid."""

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
    """Removes what the tests set."""
    for name in ("KUBECONFIG", "MESHCOURSE_INGRESS_URL"):
        monkeypatch.setenv(name, "")


def test_existing_needs_a_cluster_and_embedded_wants_none_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.CourseError) as caught:
        parameters.parametrise(backend="existing")
    assert "MESHCOURSE_INGRESS_URL" in caught.value.why
    monkeypatch.setenv("KUBECONFIG", "/kubeconfig")
    monkeypatch.setenv("MESHCOURSE_INGRESS_URL", "http://127.0.0.1:1")
    parameters.parametrise(backend="existing")
    parameters.parametrise(backend="embedded")
    assert "MESHCOURSE_INGRESS_URL" not in os.environ


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(errors.CourseError):
        parameters.parametrise(backend="minikube")


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
