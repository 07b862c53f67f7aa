"""The error names a program that a container lacks, and the image's stand-in; a container whose program never ran is never ready."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

pytestmark = pytest.mark.cluster

Apply = Callable[..., None]
Get = Callable[..., Any]


def objects(text: str) -> Iterator[dict[str, Any]]:
    """A sequence of JSON objects; the last may be cut off."""
    decoder, at = json.JSONDecoder(), 0
    with contextlib.suppress(json.JSONDecodeError):
        while rest := text[at:].lstrip():
            at = len(text) - len(rest)
            found, at = decoder.raw_decode(text, at)
            yield found


@pytest.mark.parametrize("command", [["nonesuch", "-x"], ["/etc/hostname"], ["/opt"]])
def test_a_container_whose_program_cannot_run_is_never_ready_nor_running(
    cluster: Any, namespace: str, apply: Apply, get: Get, command: list[str], tmp_path: Path
) -> None:
    words = ["kubectl", "-n", namespace, "get", "pods", "--watch", "-o", "json"]
    shown = tmp_path / "shown.json"
    with shown.open("wb") as file, subprocess.Popen(words, env=dict(cluster.environment), stdout=file) as watch:
        try:
            apply("web", [{"name": "web", "image": "nginx", "command": command}])
            until(lambda: get("pod", "web")["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 1)
        finally:
            watch.kill()
    seen = [each for status in objects(shown.read_text()) for each in status["status"].get("containerStatuses", [])]
    assert seen
    assert not [each for each in seen if each["ready"] or each.get("started") or "running" in each["state"]]
    assert any(each["lastState"].get("terminated", {}).get("reason") == "StartError" for each in seen)
    events = get("events", "--field-selector=involvedObject.name=web,reason=Failed")["items"]
    assert f'exec: "{command[0]}"' in events[0]["message"]


def test_a_program_that_the_original_has_and_the_stand_in_lacks_is_said_with_the_programs_that_it_has(
    namespace: str, apply: Apply, get: Get
) -> None:
    apply("direct", [{"name": "web", "image": "kennethreitz/httpbin", "command": ["gunicorn", "httpbin:app"]}])
    apply("shell", [{"name": "web", "image": "kennethreitz/httpbin", "command": ["sh", "-c", "gunicorn httpbin:app"]}])

    def message(name: str) -> str:
        status = get("pod", name)["status"].get("containerStatuses", [{"state": {}, "lastState": {}}])[0]
        return next((each["terminated"].get("message", "") for each in (status["state"], status["lastState"]) if "terminated" in each), "")

    for name in ("direct", "shell"):
        until(lambda name=name: message(name))
        for words in ("stands in for it", "go-httpbin answers in place of the Python httpbin", "Its programs: go-httpbin"):
            assert words in message(name), message(name)


def test_exec_of_a_program_that_is_not_there_says_so_too(cluster: Any, namespace: str, apply: Apply, wait_for: Callable[..., str]) -> None:
    apply("web", [{"name": "web", "image": "fortio/fortio"}])
    wait_for(namespace, "pod/web")
    done = cluster.run("kubectl", "-n", namespace, "exec", "web", "--", "no-such-program", check=False)
    assert done.returncode
    assert 'exec: "no-such-program": No such file or directory' in done.stderr
    assert "Its programs: fortio" in done.stderr


NGINX = "events {}\nhttp { server { listen 8080; return 200 'mine\\n'; } }\n"


@pytest.mark.parametrize("user", ["", "user nginx;\n", "user www-data;\n", "user nobody nogroup;\n"])
def test_nginx_runs_with_a_config_map_over_its_folder(
    cluster: Any, namespace: str, apply: Apply, kubectl: Callable[..., str], wait_for: Callable[..., str], user: str
) -> None:
    data = {"nginx.conf": user + NGINX, "extra.html": "<p>extra</p>"}
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": data}))
    probe = {"httpGet": {"port": 8080, "path": "/"}}
    mounts = [{"name": "conf", "mountPath": "/etc/nginx", "readOnly": True}]
    volumes = [{"name": "conf", "configMap": {"name": "conf"}}]
    apply("web", [{"name": "web", "image": "nginx", "volumeMounts": mounts, "readinessProbe": probe}], volumes=volumes)
    wait_for(namespace, "pod/web")
    assert kubectl("exec", "web", "--", "curl", "-s", "localhost:8080/") == "mine\n"
    kubectl("exec", "web", "--", "nginx", "-t")


def test_a_mount_below_a_config_map_finds_its_place(
    namespace: str, apply: Apply, kubectl: Callable[..., str], wait_for: Callable[..., str]
) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"a.txt": "a", "b.txt": "b"}}
    kubectl("apply", "-f", "-", stdin=json.dumps(config))
    mounts = [
        {"name": "conf", "mountPath": "/usr/share/nginx"},
        {"name": "scratch", "mountPath": "/usr/share/nginx/html/deep"},
    ]
    volumes = [{"name": "conf", "configMap": {"name": "conf"}}, {"name": "scratch", "emptyDir": {}}]
    apply("web", [{"name": "web", "image": "busybox", "command": ["sleep", "600"], "volumeMounts": mounts}], volumes=volumes)
    wait_for(namespace, "pod/web")
    script = "echo x > /usr/share/nginx/html/deep/f; cat /usr/share/nginx/html/deep/f /usr/share/nginx/a.txt"
    assert kubectl("exec", "web", "--", "sh", "-c", script) == "x\na"
