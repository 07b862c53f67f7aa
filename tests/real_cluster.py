"""A running cluster with helper calls: for tests, and for the benchmark that controls a browser as they do."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from meshcourse.cluster.clusters import Cluster
from meshcourse.engine import binaries
from meshcourse.kube.connection import Connection

FENCE = """apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: meshcourse-fence}
rules:
- {apiGroups: [""], resources: [resourcequotas], verbs: [get, create, patch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, create, patch]}
"""
"""A shared cluster's learner's rights besides those in docs/existing.md: for all of mesh/tenancy.yaml."""


@dataclass(frozen=True)
class RealCluster:
    """The session's cluster, with helper calls."""

    name: str
    home: Path
    kubeconfig: Path
    ingress_url: str
    environment: Mapping[str, str]
    connection: Connection

    @classmethod
    def of(cls, started: Cluster) -> Self:
        """An embedded cluster that runs."""
        path = os.pathsep.join([str(binaries.program("istioctl").parent), str(binaries.kubectl().parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "KUBECONFIG": str(started.kubeconfig), "MESHCOURSE_CLUSTER": started.name}
        connection = Connection(started.kubeconfig, started.ingress_url, {"PATH": path, "KUBECONFIG": str(started.kubeconfig)})
        return cls(started.name, started.home, started.kubeconfig, started.ingress_url, environment, connection)

    def run(self, *words: str, stdin: str | None = None, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program with kubectl and istioctl on its PATH and KUBECONFIG set."""
        done = subprocess.run(words, env=dict(self.environment), input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 60, check: bool = True) -> str:
        """The output of kubectl."""
        return self.run("kubectl", *words, stdin=stdin, timeout=timeout, check=check).stdout

    def get(self, *words: str) -> dict[str, Any]:
        """An object, or a list, as JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found

    def apply(self, namespace: str, text: str) -> None:
        """Apply YAML in a namespace."""
        self.kubectl("-n", namespace, "apply", "-f", "-", stdin=text)
