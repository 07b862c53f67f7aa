from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(cluster: Any, namespace: str) -> Kubectl:
    """kubectl in the test's namespace; raises with kubectl's output when it fails."""

    def run(*words: str, stdin: str | None = None, timeout: float = 60) -> str:
        command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace, *words]
        done = subprocess.run(
            command, input=stdin, env=dict(cluster.environment), capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    return run


@pytest.fixture
def apply(kubectl: Kubectl) -> Callable[..., None]:
    """Apply a pod called `name`: its containers (or whole spec) as Python objects."""

    def create(name: str, containers: list[dict[str, Any]], **spec: Any) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": containers, **spec},
        }
        kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    return create


@pytest.fixture
def get(kubectl: Kubectl) -> Callable[..., Any]:
    """Read an object as JSON."""

    def read(*words: str) -> Any:
        return json.loads(kubectl("get", *words, "-o", "json"))

    return read


@pytest.fixture
def reasons(get: Callable[..., Any]) -> Callable[[str], dict[str, str]]:
    """The events of an object: reason -> the last message."""

    def read(name: str) -> dict[str, str]:
        found = get("events", f"--field-selector=involvedObject.name={name}")["items"]
        return {event["reason"]: event["message"] for event in found}

    return read
