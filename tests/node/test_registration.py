from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from waiting import until

from meshcourse.node import registration
from meshcourse.node.registration import NodeConfig

NONE = Path()
CONFIG = NodeConfig(
    name="n", ip="172.18.0.2", pod_cidr="10.244.0.0/24", cluster_dns="10.96.0.10", root=NONE, kubelet_port=10250, server="",
    ca=NONE, api_server_cert=NONE, client_cert=NONE, client_key=NONE, serving_cert=NONE, serving_key=NONE,
)  # fmt: skip


def test_a_node_says_where_its_kubelet_api_is_and_that_it_takes_websockets() -> None:
    status = registration.node_status(CONFIG, {}, "2026-01-01T00:00:10Z")
    assert status["addresses"][0] == {"type": "InternalIP", "address": "172.18.0.2"}
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    assert status["declaredFeatures"] == ["ExtendWebSocketsToKubelet"]


def test_a_heartbeat_keeps_the_time_since_when_the_node_is_ready() -> None:
    first = registration.node_status(CONFIG, {}, "2026-01-01T00:00:00Z")
    later = {each["type"]: each for each in registration.node_status(CONFIG, first, "2026-01-01T00:05:00Z")["conditions"]}
    assert later["Ready"]["status"] == "True"
    assert later["Ready"]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert later["Ready"]["lastHeartbeatTime"] == "2026-01-01T00:05:00Z"


@pytest.mark.cluster
def test_the_node_is_ready_labelled_and_renews_its_lease(kubectl: Any, get: Any) -> None:
    (node,) = get("nodes")["items"]
    name = node["metadata"]["name"]
    kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=10s")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == name
    assert not node["spec"].get("taints")
    lease = get("lease", name, "--namespace=kube-node-lease")
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
    renewed = lease["spec"]["renewTime"]
    until(lambda: get("lease", name, "--namespace=kube-node-lease")["spec"]["renewTime"] > renewed, 12)


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("Unknown", False), ("False", False)])
def test_a_node_that_others_hold_for_lost_is_not_ready(status: str, ready: bool) -> None:  # noqa: FBT001
    conditions = [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": status}]
    assert registration.is_ready({"status": {"conditions": conditions}}) == ready
    assert not registration.is_ready({})
