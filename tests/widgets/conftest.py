"""The canary chapter's web server, two versions of it behind the real gateway, once for all panels."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshcourse.kube import resources
from meshcourse.kube.connection import Connection
from meshcourse.mesh import propagation

MANIFESTS = Path(__file__).parents[2] / "notebooks" / "manifests" / "05_canary"


@dataclass(frozen=True)
class Canary:
    cluster: Any
    connection: Connection
    namespace: str

    def reset(self) -> None:
        """Restore 90/10, and wait until the gateway has it."""
        resources.apply(self.connection, MANIFESTS / "04-virtualservice-90-10.yaml", namespace=self.namespace)
        found = propagation.wait(self.connection, self.namespace)
        assert not found.missing, found

    def held(self) -> dict[str, int]:
        """The weights, by kubectl."""
        route = self.cluster.get("-n", self.namespace, "virtualservice", "web")["spec"]["http"][0]["route"]
        return {each["destination"]["subset"]: each.get("weight", 0) for each in route}


@pytest.fixture(scope="session")
def deployed_canary(cluster: Any) -> Iterator[Canary]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    for file in sorted(MANIFESTS.glob("0[1-5]-*.yaml")):
        resources.apply(cluster.connection, file, namespace=name)
    resources.wait_for_rollout(cluster.connection, name, ["web-v1", "web-v2"])
    yield Canary(cluster, cluster.connection, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def canary(deployed_canary: Canary) -> Canary:
    deployed_canary.reset()
    return deployed_canary
