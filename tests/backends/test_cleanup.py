"""What is removed: objects with the label and annotation, and nothing that others made."""

from __future__ import annotations

from meshcourse.backends import cleanup
from meshcourse.backends.cleanup import Belongings
from meshcourse.core import settings


def namespace(name: str, note: str) -> dict[str, object]:
    return {"metadata": {"name": name, "annotations": {settings.NOTE: note} if note else {}}}


def test_namespaces_are_sorted_by_what_was_done_to_them() -> None:
    found = cleanup.sort(
        [
            namespace("canary", "05-canary created"),
            namespace("shop", "04-bookinfo labelled"),
            namespace("istio-system", "up created"),
            namespace("odd", ""),
        ]
    )
    assert found == Belongings(("canary",), ("shop", "odd"), istio=True)


def test_istio_that_was_there_before_stays() -> None:
    assert not cleanup.sort([namespace("istio-system", "02-install labelled")]).istio
    assert cleanup.sort([]) == Belongings()
