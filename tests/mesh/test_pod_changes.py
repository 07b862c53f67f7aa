"""What a webhook changed in a pod, as lines of text."""

from __future__ import annotations

from typing import Any

from meshcourse.mesh.injection import pod_changes

ASKED: dict[str, Any] = {
    "metadata": {"labels": {"app": "web", "old": "1"}},
    "spec": {
        "containers": [{"name": "nginx", "image": "nginx", "env": [{"name": "A", "value": "1"}]}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "securityContext": {},
    },
}
GOT: dict[str, Any] = {
    "metadata": {"labels": {"app": "shop", "pod-template-hash": "x"}, "annotations": {"istio.io/rev": "default"}},
    "spec": {
        "nodeName": "n",
        "tolerations": [{}],
        "securityContext": {"fsGroup": 1337},
        "containers": [
            {
                "name": "nginx",
                "image": "nginx",
                "env": [{"name": "A", "value": "2"}],
                "volumeMounts": [{"name": "kube-api-access-abcde", "mountPath": "/var/run"}],
            }
        ],
        "initContainers": [
            {
                "name": "istio-init",
                "image": "proxyv2",
                "args": ["istio-iptables", "-p", "15001"],
                "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
            },
            {"name": "istio-proxy", "image": "proxyv2", "restartPolicy": "Always", "ports": [{"containerPort": 15090}]},
        ],
        "volumes": [
            {"name": "kube-api-access-abcde", "projected": {}},
            {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": {"audience": "istio-ca"}}]}},
        ],
    },
}


def told() -> list[str]:
    return [str(change) for change in pod_changes.compare(ASKED, GOT)]


def test_pod_without_changes_has_none() -> None:
    assert pod_changes.compare(ASKED, ASKED) == ()


def test_added_changed_and_removed_things_are_told_apart() -> None:
    lines = told()
    assert "~ labels: app=shop" in lines
    assert "- labels: old=1" in lines
    assert "+ annotations: istio.io/rev=default" in lines
    assert "- volumes: data (emptyDir)" in lines
    assert "+ volumes: istio-token (projected token for istio-ca)" in lines
    assert '+ securityContext: {"fsGroup": 1337}' in lines
    assert any(line.startswith("~ containers[nginx]: env") for line in lines)


def test_container_is_told_in_one_line_with_what_is_unusual() -> None:
    init, proxy = (line for line in told() if line.startswith("+ initContainers"))
    for words in ("istio-init", "runs istio-iptables -p", "user 0", "may NET_ADMIN"):
        assert words in init
    assert "restartPolicy Always" in proxy
    assert "port 15090" in proxy


def test_what_kubernetes_fills_in_is_left_out() -> None:
    text = "\n".join(told())
    for word in ("nodeName", "tolerations", "kube-api-access", "pod-template-hash", "volumeMounts"):
        assert word not in text
