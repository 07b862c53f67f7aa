"""What the tests of faults share: a pod, whether a cluster is well, signals for many processes."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from typing import Any

from waiting import until


def pod(name: str, script: str, **spec: Any) -> str:
    container = {"name": "app", "image": "busybox", "command": ["sh", "-c", script]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}}
    return json.dumps(manifest)


def is_well(cluster: Any, namespace: str) -> bool:
    """Whether a new pod becomes Ready, can be entered, and goes."""
    name = f"probe-{uuid.uuid4().hex[:6]}"
    for words, stdin in (
        (("apply", "-f", "-"), pod(name, "sleep 600", terminationGracePeriodSeconds=0)),
        (("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=30s"), None),
        (("exec", name, "--", "true"), None),
        (("delete", "pod", name), None),
    ):
        if cluster.run("kubectl", "-n", namespace, *words, stdin=stdin, check=False).returncode:
            return False
    return True


def heal(cluster: Any, namespace: str) -> float:
    return until(lambda: is_well(cluster, namespace), within=60)


def send(pids: list[int], number: int) -> None:
    """Send a signal to all that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
