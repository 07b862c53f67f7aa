"""What a chapter could leave behind is found, and is removed before the next one."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.authoring import inventory
from meshcourse.course.chapters import Chapter

pytestmark = pytest.mark.cluster

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: left
spec:
  host: left
"""


def test_left_objects_namespaces_and_labels_are_seen_and_cleared(cluster: Any) -> None:
    before = inventory.look(cluster.connection)
    assert "Namespace istio-system" in before
    assert "Deployment istio-system/istiod" in before
    cluster.kubectl("create", "namespace", "left-behind")
    cluster.kubectl("label", "namespace", "left-behind", "istio-injection=enabled")
    cluster.apply("left-behind", RULE)
    assert inventory.look(cluster.connection) - before == {
        "Namespace left-behind (istio-injection=enabled)",
        "DestinationRule left-behind/left",
    }
    inventory.clear(cluster.connection, Chapter("99-left", "Left", "left-behind"))
    assert inventory.look(cluster.connection) == before
