"""A kind cluster of an older Kubernetes, whose programs were built here."""

from __future__ import annotations

import pytest
from waiting import until

from meshcourse.backends.kind import Kind
from meshcourse.imagemaking import go_builds

from .conftest import NAME, Run, anew

pytestmark = anew


@pytest.mark.parametrize("version", go_builds.OLDER)
def test_its_node_is_ready_runs_pods_and_answers_dns(version: str, cli: Run, run: Run) -> None:
    cli("down", "--name", NAME)
    up = cli("up", "--name", NAME, "--backend", "kind", "--images", "made", "--k8s", version, timeout=3600)
    assert "without Istio: " in up.stderr
    try:
        kubectl = ["kubectl", "--kubeconfig", str(Kind(NAME).kubeconfig())]
        node = "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"
        assert run(*kubectl, "get", "nodes", "-o", node).stdout == f"v{go_builds.OLDER[version]}"
        run(*kubectl, "create", "deployment", "web", "--image", "nginx:1.25")
        run(*kubectl, "expose", "deployment", "web", "--port", "80")
        run(*kubectl, "rollout", "status", "deployment/web", "--timeout=120s")
        run(*kubectl, "run", "client", "--image", "curlimages/curl", "--command", "--", "sleep", "infinity")
        run(*kubectl, "wait", "pod/client", "--for=condition=Ready", "--timeout=120s")
        asked = ["exec", "client", "--", "curl", "-s", "-m", "5", "http://web"]
        until(lambda: "nginx" in run(*kubectl, *asked, check=False).stdout, within=120)  # CoreDNS is ready some time after its node
    finally:
        cli("down", "--name", NAME)
