"""The backend of a run by machine: chosen once, refused when it makes no sense."""

from __future__ import annotations

import os

import pytest

from meshcourse.core import errors
from meshcourse.course import parameters


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests set goes with them."""
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
