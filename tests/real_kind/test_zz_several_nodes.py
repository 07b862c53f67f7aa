"""A cluster with two workers: pods of one chapter on different machines' stand-ins, and traffic between them."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from meshcourse.backends.kind import Kind

from .conftest import Run

CALLERS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: caller}
spec:
  selector: {matchLabels: {app: caller}}
  template:
    metadata: {labels: {app: caller}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: curl, image: curlimages/curl, command: [sleep, infinity]}]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "manifest.yaml"
    file.write_text(text)
    return file


def test_a_chapter_passes_with_its_pods_on_two_workers(cluster: Kind, cli: Run, run: Run, tmp_path: Path) -> None:
    cli("down", "--name", cluster.name)
    cli("up", "--name", cluster.name, "--backend", "kind", "--images", "made", "--nodes", "3", timeout=1200)
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig())]
    nodes = json.loads(run(*kubectl, "get", "nodes", "-o", "json").stdout)["items"]
    zones = [each["metadata"]["labels"].get("topology.kubernetes.io/zone") for each in nodes]
    assert len(zones) == 3
    assert len({each for each in zones if each}) == 2
    run(*kubectl, "apply", "-f", written(tmp_path, CALLERS))
    run(*kubectl, "create", "deployment", "web", "--image=nginx", "--replicas=4")
    run(*kubectl, "rollout", "status", "deployment", "web", "--timeout=180s")
    run(*kubectl, "rollout", "status", "daemonset", "caller", "--timeout=180s")
    pods = json.loads(run(*kubectl, "get", "pods", "-o", "json").stdout)["items"]
    callers = [each["metadata"]["name"] for each in pods if each["metadata"]["labels"]["app"] == "caller"]
    web = [each for each in pods if each["metadata"]["labels"]["app"] == "web"]
    assert len(callers) == 2
    assert len({each["spec"]["nodeName"] for each in web}) == 2
    for caller, each in itertools.product(callers, web):
        run(*kubectl, "exec", caller, "--", "curl", "-fsS", "-m", "10", f"http://{each['status']['podIP']}/")
    run(*kubectl, "delete", "daemonset/caller", "deployment/web")
    done = cli("notebooks", "run", "6", "--solutions", "--name", cluster.name, "--no-compare", "--out", tmp_path, timeout=1500)
    sys.stderr.write(f"\n{done.stdout}\n")
    assert "passed" in done.stdout
