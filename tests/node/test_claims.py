"""PersistentVolumeClaims of the default StorageClass: made for the first pod, kept for the next, deleted with the claim."""

from __future__ import annotations

import json
from typing import Any

import pytest
from waiting import until

pytestmark = pytest.mark.cluster

MOUNTS = [{"name": "data", "mountPath": "/data"}]
VOLUME = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}


def test_what_a_pod_writes_to_a_claim_is_there_for_the_next_one(kubectl: Any, apply: Any, get: Any) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=json.dumps(claim))
    for name, script in (("writer", "id -u > /data/word"), ("reader", "cat /data/word")):
        app = {
            "name": "app",
            "image": "busybox",
            "command": ["sh", "-c", script],
            "volumeMounts": MOUNTS,
            "securityContext": {"runAsUser": 1234},
        }
        apply(name, [app], restartPolicy="Never", **VOLUME)
        kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
        if name == "writer":
            kubectl("delete", "pod", name)
    assert kubectl("logs", "reader").strip() == "1234"
    volume = get("pvc", "data")["spec"]["volumeName"]
    kubectl("delete", "pod", "reader")
    kubectl("delete", "pvc", "data")
    until(lambda: not kubectl("get", "pv", volume, "--ignore-not-found"))


def test_a_pod_waits_for_its_claim(kubectl: Any, apply: Any, get: Any) -> None:
    apply("early", [{"name": "app", "image": "busybox", "command": ["true"], "volumeMounts": MOUNTS}], restartPolicy="Never", **VOLUME)
    until(lambda: "not found" in json.dumps(get("pod", "early")["status"].get("conditions") or []))
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    kubectl(
        "apply",
        "-f",
        "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}),
    )
    kubectl("wait", "pod/early", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
