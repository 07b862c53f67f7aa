"""hostNetwork, hostPort and hostPath on the real API server: what they give is the node's, and the node's is not the machine's."""

from __future__ import annotations

from typing import Any

import pytest
from waiting import until

pytestmark = pytest.mark.cluster

NODE = "172.18.0.2"
SERVER = "mkdir /www && hostname > /www/index.html && httpd -f -h /www -p {port}"


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"name": "app", "image": "busybox", "command": ["sh", "-c", script], **more}


def ready(kubectl: Any, *names: str) -> None:
    kubectl("wait", "--for=condition=Ready", "--timeout=30s", *(f"pod/{name}" for name in names))


def test_a_pod_with_host_network_has_the_nodes_address_and_name(kubectl: Any, apply: Any, get: Any, cluster: Any) -> None:
    apply("guest", [shell("sleep 600")], hostNetwork=True, terminationGracePeriodSeconds=0)
    apply("server", [shell(SERVER.format(port=8080))], terminationGracePeriodSeconds=0)
    ready(kubectl, "guest", "server")
    assert get("pod", "guest")["status"]["podIP"] == NODE
    assert kubectl("exec", "guest", "--", "hostname").strip() == cluster.name
    assert kubectl("exec", "guest", "--", "cat", "/etc/hosts").startswith("# Kubernetes-managed hosts file (host network).\n127.0.0.1")
    served = get("pod", "server")["status"]["podIP"]
    assert kubectl("exec", "guest", "--", "curl", "-s", f"http://{served}:8080/").strip() == "server"


def test_a_pod_with_host_network_gets_nothing_from_etcd(kubectl: Any, apply: Any) -> None:
    apply("guest", [shell("sleep 600")], hostNetwork=True, terminationGracePeriodSeconds=0)
    ready(kubectl, "guest")
    ask = "for port in 2379 2380; do for scheme in http https; do curl -sk -m 5 $scheme://127.0.0.1:$port/version; done; done; echo"
    said = kubectl("exec", "guest", "--", "sh", "-c", ask)
    assert "etcdserver" not in said
    assert kubectl("exec", "guest", "--", "sh", "-c", f"curl -sk -m 5 https://{NODE}:10250/pods").strip() == "Unauthorized"


def test_a_host_port_leads_to_the_container_until_its_pod_is_gone(kubectl: Any, apply: Any, get: Any) -> None:
    port = {"ports": [{"containerPort": 8080, "hostPort": 9123}]}
    apply("served", [shell(SERVER.format(port=8080), **port)], terminationGracePeriodSeconds=0)
    apply("guest", [shell("sleep 600")], hostNetwork=True, terminationGracePeriodSeconds=0)
    apply("other", [shell("sleep 600")], terminationGracePeriodSeconds=0)
    ready(kubectl, "served", "guest", "other")
    for pod, address in (("other", NODE), ("guest", NODE), ("guest", "127.0.0.1"), ("served", NODE)):
        assert kubectl("exec", pod, "--", "curl", "-s", "-m", "5", f"http://{address}:9123/").strip() == "served", (pod, address)
    refused = {**shell("sleep 600", **port), "name": "late"}
    apply("late", [refused], nodeName=get("pod", "served")["spec"]["nodeName"], restartPolicy="Never")
    kubectl("wait", "pod/late", "--for=jsonpath={.status.phase}=Failed", "--timeout=30s")
    assert get("pod", "late")["status"]["reason"] == "NodePorts"
    kubectl("delete", "pod", "served")
    with pytest.raises(AssertionError):
        kubectl("exec", "other", "--", "curl", "-s", "-m", "2", f"http://{NODE}:9123/")


def test_two_pods_share_a_folder_of_the_node_which_is_not_the_machines(kubectl: Any, apply: Any) -> None:
    volume = {
        "volumes": [{"name": "v", "hostPath": {"path": "/srv/shared", "type": "DirectoryOrCreate"}}],
        "terminationGracePeriodSeconds": 0,
    }
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    apply(
        "writer", [shell("echo hello > /v/word; ln -s / /v/root; ln -s ../../../../../../../../etc /v/etc; sleep 600", **mounts)], **volume
    )
    ready(kubectl, "writer")
    apply("reader", [shell("sleep 600", **mounts)], **volume)
    ready(kubectl, "reader")
    assert kubectl("exec", "reader", "--", "cat", "/v/word").strip() == "hello"
    for path in ("/etc", "/srv/shared/root/etc", "/srv/shared/etc"):
        name = f"looks{path.count('/')}{len(path)}"
        apply(name, [shell("ls /v", **mounts)], volumes=[{"name": "v", "hostPath": {"path": path}}], restartPolicy="Never")
        kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
        assert kubectl("logs", name).split() == ["hostname", "hosts"], path


def test_a_host_path_of_another_type_waits_with_the_reason(kubectl: Any, apply: Any, reasons: Any) -> None:
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    apply("asks", [shell("true", **mounts)], volumes=[{"name": "v", "hostPath": {"path": "/etc/hosts", "type": "Directory"}}])
    until(lambda: "hostPath type check failed: /etc/hosts is not a directory" in reasons("asks").get("FailedMount", ""))
