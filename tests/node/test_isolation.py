"""What SECURITY.md says, sentence by sentence: what a pod can see and reach of this machine and of others, and ways out that are tried."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from process_tree import tree
from waiting import until

from meshcourse.cluster import clusters
from meshcourse.core import paths

pytestmark = pytest.mark.cluster


@pytest.fixture
def pod(kubectl: Any, apply: Any) -> Any:
    """Run a command in a pod that runs as root, as most images do."""
    apply("prisoner", [{"name": "app", "image": "busybox", "command": ["sleep", "86398"]}], terminationGracePeriodSeconds=0)
    kubectl("wait", "pod/prisoner", "--for=condition=Ready", "--timeout=30s")
    return lambda script: kubectl("exec", "prisoner", "--", "sh", "-c", f"({script}) 2>&1; true")


def test_no_file_of_the_user_or_of_the_cluster_is_seen(pod: Any, cluster: Any) -> None:
    for path in (Path.home() / ".bashrc", paths.state(), cluster.kubeconfig, Path(__file__), Path("/run/meshcourse"), Path("/etc/shadow")):
        assert "No such file" in pod(f"ls -d {path}"), path
    assert pod("ls /home /root /run /var/run | grep -v :").split() == ["secrets"]


def test_no_process_but_its_own_is_seen(pod: Any) -> None:
    assert pod("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").count("sleep 86398") >= 1
    assert "kube-apiserver" not in pod("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert len(pod("ls -d /proc/[0-9]*").split()) < 10


def test_privileges_never_grow(pod: Any, kubectl: Any, apply: Any) -> None:
    assert "NoNewPrivs:\t1" in pod("cat /proc/self/status")
    assert "NoNewPrivs:\t1" in pod("cat /proc/2/status")
    for command in ("mount -t tmpfs none /mnt", "unshare --net true", "mknod /tmp/disk b 8 0"):
        said = pod(command)
        assert "not permitted" in said or "denied" in said, said


def test_system_calls_are_filtered_unless_a_container_asks_for_none(pod: Any, kubectl: Any, apply: Any) -> None:
    assert pod("grep Seccomp: /proc/self/status /proc/2/status | cut -f 2").split() == ["2", "2"]
    context = {"seccompProfile": {"type": "Unconfined"}}
    app = {"name": "app", "image": "busybox", "command": ["grep", "Seccomp:", "/proc/self/status"], "securityContext": context}
    apply("free", [app], restartPolicy="Never")
    kubectl("wait", "pod/free", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert kubectl("logs", "free").split() == ["Seccomp:", "0"]


def test_a_privileged_container_gets_nothing_of_the_machine_and_an_event_says_so(kubectl: Any, apply: Any, reasons: Any) -> None:
    script = "ls /dev; mount -t tmpfs none /mnt; mknod /tmp/disk b 8 0; ip link add mine type veth && echo own network; sleep 600"
    app = {"name": "app", "image": "busybox", "command": ["sh", "-c", f"({script}) 2>&1"], "securityContext": {"privileged": True}}
    apply("lord", [app], terminationGracePeriodSeconds=0)
    kubectl("wait", "pod/lord", "--for=condition=Ready", "--timeout=30s")
    until(lambda: "own network" in kubectl("logs", "lord"), 10)
    said = kubectl("logs", "lord")
    assert said.count("denied") + said.count("not permitted") == 2, said
    assert "disk" not in said.split("mount:")[0]
    assert not {word for word in said.split("mount:")[0].split() if word.startswith(("sd", "vd", "mem", "kmsg", "loop"))}
    assert "privileged" in reasons("lord")["PrivilegedNotGiven"]


def test_namespaces_of_others_are_not_entered(pod: Any) -> None:
    for kind in ("mount", "net", "pid"):
        said = pod(f"nsenter --target 1 --{kind} ls /home")
        assert "not permitted" in said or "denied" in said, said


def test_abstract_sockets_of_this_machine_are_not_reached(pod: Any) -> None:
    name = f"meshcourse-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        assert name not in pod("cat /proc/net/unix")


def test_a_sub_path_does_not_follow_a_link_out_of_its_volume(kubectl: Any, apply: Any, get: Any) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    setup = {"name": "setup", "image": "busybox", "command": ["ln", "-s", "/", "/v/out"], "volumeMounts": mounts}
    app = {"name": "app", "image": "busybox", "command": ["ls", "/w"], "volumeMounts": [{"name": "v", "mountPath": "/w", "subPath": "out"}]}
    apply("climber", [app], initContainers=[setup], restartPolicy="Never", volumes=[{"name": "v", "emptyDir": {}}])

    def why() -> str:
        state = (get("pod", "climber")["status"].get("containerStatuses") or [{}])[0].get("state") or {}
        return str(state.get("waiting", {}).get("reason", ""))

    until(lambda: why() == "CreateContainerConfigError")


def test_a_link_as_log_or_termination_message_shows_no_file_of_the_node(kubectl: Any, apply: Any, get: Any) -> None:
    script = "ln -sf /etc/shadow /dev/termination-log || true; exit 1"
    app = {"name": "app", "image": "busybox", "command": ["sh", "-c", script]}
    apply("liar", [app], restartPolicy="Never")
    kubectl("wait", "pod/liar", "--for=jsonpath={.status.phase}=Failed", "--timeout=30s")
    assert "root:" not in str(get("pod", "liar")["status"])


def test_only_loopback_listens_on_this_machine(cluster: Any) -> None:
    running = clusters.find(cluster.name)
    assert running is not None
    ours = set(tree(running.pid))  # some of them keep sockets of this machine's network that they brought into their own
    found = [each.laddr.ip for each in psutil.net_connections("inet") if each.status == psutil.CONN_LISTEN and each.pid in ours]
    assert found
    assert [ip for ip in found if not ip.startswith("127.")] == []


def test_who_has_no_credentials_gets_nothing_from_the_api_server(cluster: Any) -> None:
    running = clusters.find(cluster.name)
    assert running is not None
    for path in ("/api/v1/secrets", "/version"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"https://127.0.0.1:{running.api_port}{path}", context=ssl._create_unverified_context())  # noqa: S323
        refused.value.close()
        assert refused.value.code == 401
    for file, mode in ((cluster.home, 0o700), (cluster.kubeconfig, 0o600)):
        assert Path(file).stat().st_mode & 0o777 == mode
