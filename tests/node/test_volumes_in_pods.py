"""Volumes as containers see them: filled, changed while they run, with the owners and modes that a kubelet gives."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.cluster


def shell(script: str, **mounts: str) -> dict[str, Any]:
    mounted = [{"name": name, "mountPath": path} for name, path in mounts.items()]
    return {"name": "app", "image": "busybox", "command": ["sh", "-c", script], "volumeMounts": mounted}


def succeeded(kubectl: Callable[..., str], pod: str) -> str:
    kubectl("wait", f"pod/{pod}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    return kubectl("logs", pod).strip()


def running(kubectl: Callable[..., str], pod: str) -> None:
    kubectl("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=30s")


def eventually(look: Callable[[], str], wanted: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while (found := look()) != wanted:
        assert time.monotonic() < end, f"still {found!r}, not {wanted!r}"


def create(kubectl: Callable[..., str], kind: str, name: str, **data: Any) -> None:
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **data}))


def test_a_mounted_config_map_changes_in_the_running_pod(kubectl: Any, apply: Any) -> None:
    create(kubectl, "ConfigMap", "settings", data={"colour": "red"})
    apply("painter", [shell("sleep 600", settings="/etc/settings")], volumes=[{"name": "settings", "configMap": {"name": "settings"}}])
    running(kubectl, "painter")
    assert kubectl("exec", "painter", "--", "cat", "/etc/settings/colour") == "red"
    create(kubectl, "ConfigMap", "settings", data={"colour": "blue", "size": "big"})
    eventually(lambda: kubectl("exec", "painter", "--", "sh", "-c", "cat /etc/settings/*"), "bluebig")


def test_a_program_that_watches_the_folder_sees_one_change(kubectl: Any, apply: Any) -> None:
    create(kubectl, "ConfigMap", "settings", data={"a": "1", "b": "1"})
    watching = 'cd /etc/settings; old=$(readlink ..data); until new=$(readlink ..data) && [ "$new" != "$old" ]; do :; done; cat a b'
    apply(
        "watcher",
        [shell(watching, settings="/etc/settings")],
        volumes=[{"name": "settings", "configMap": {"name": "settings"}}],
        restartPolicy="Never",
    )
    kubectl("wait", "pod/watcher", "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
    create(kubectl, "ConfigMap", "settings", data={"a": "2", "b": "2"})
    assert succeeded(kubectl, "watcher") == "22"


def test_a_sub_path_of_a_config_map_stays_as_it_was(kubectl: Any, apply: Any) -> None:
    create(kubectl, "ConfigMap", "settings", data={"colour": "red"})
    app = shell("sleep 600", settings="/etc/settings")
    app["volumeMounts"].append({"name": "settings", "mountPath": "/etc/colour", "subPath": "colour"})
    apply("painter", [app], volumes=[{"name": "settings", "configMap": {"name": "settings"}}])
    running(kubectl, "painter")
    create(kubectl, "ConfigMap", "settings", data={"colour": "blue"})
    eventually(lambda: kubectl("exec", "painter", "--", "cat", "/etc/settings/colour"), "blue")
    assert kubectl("exec", "painter", "--", "cat", "/etc/colour") == "red"


def test_items_choose_keys_paths_and_modes(kubectl: Any, apply: Any) -> None:
    create(
        kubectl,
        "ConfigMap",
        "settings",
        data={"text": "words", "other": "left out"},
        binaryData={"raw": base64.b64encode(b"\xff\x00").decode()},
    )
    items = [{"key": "text", "path": "deep/er/file", "mode": 0o400}, {"key": "raw", "path": "raw"}]
    apply(
        "chooser",
        [
            shell(
                "cd /etc/settings; find -L . -type f | grep -v /[.][.] | sort; stat -Lc %a raw deep/er/file; od -An -tx1 raw",
                settings="/etc/settings",
            )
        ],
        volumes=[{"name": "settings", "configMap": {"name": "settings", "items": items, "defaultMode": 0o640}}],
        restartPolicy="Never",
    )
    assert succeeded(kubectl, "chooser").split() == ["./deep/er/file", "./raw", "640", "400", "ff", "00"]


def test_a_mounted_config_map_cannot_be_written(kubectl: Any, apply: Any) -> None:
    create(kubectl, "ConfigMap", "settings", data={"colour": "red"})
    apply(
        "vandal",
        [shell("echo no > /etc/settings/new || echo refused", settings="/etc/settings")],
        volumes=[{"name": "settings", "configMap": {"name": "settings"}}],
        restartPolicy="Never",
    )
    assert "refused" in succeeded(kubectl, "vandal")


def test_what_is_optional_does_not_hold_up_a_pod_and_appears_when_it_comes(kubectl: Any, apply: Any) -> None:
    apply("patient", [shell("sleep 600", extra="/extra")], volumes=[{"name": "extra", "secret": {"secretName": "extra", "optional": True}}])
    running(kubectl, "patient")
    assert kubectl("exec", "patient", "--", "ls", "/extra") == ""
    create(kubectl, "Secret", "extra", stringData={"key": "here"})
    eventually(lambda: kubectl("exec", "patient", "--", "sh", "-c", "cat /extra/key 2>/dev/null || true"), "here")


def test_a_key_that_is_not_there_is_named(kubectl: Any, apply: Any, reasons: Any) -> None:
    create(kubectl, "ConfigMap", "settings", data={"colour": "red"})
    source = {"name": "settings", "items": [{"key": "shade", "path": "shade"}]}
    apply("picky", [shell("true", settings="/etc/settings")], volumes=[{"name": "settings", "configMap": source}])
    why = 'MountVolume.SetUp failed for volume "settings" : configmap references non-existent config key: shade'
    eventually(lambda: reasons("picky").get("FailedMount", ""), why)


def test_a_secret_is_readable_by_its_fs_group_and_by_nobody_else(kubectl: Any, apply: Any) -> None:
    create(kubectl, "Secret", "pass", stringData={"word": "sesame"})
    volumes = [{"name": "word", "secret": {"secretName": "pass", "defaultMode": 0o400}}]
    for pod, context in {"member": {"fsGroup": 2000}, "stranger": {}}.items():
        security = {"runAsUser": 1000, "runAsGroup": 1000, **context}
        apply(
            pod,
            [shell("stat -Lc '%g %a' /pass/word; cat /pass/word || true", word="/pass")],
            volumes=volumes,
            securityContext=security,
            restartPolicy="Never",
        )
    assert succeeded(kubectl, "member") == "2000 440\nsesame"
    assert "sesame" not in succeeded(kubectl, "stranger")


def test_an_empty_dir_belongs_to_the_fs_group(kubectl: Any, apply: Any) -> None:
    apply(
        "writer",
        [shell("stat -c '%g %a' /data; echo x > /data/f; stat -c '%u %g' /data/f", data="/data")],
        volumes=[{"name": "data", "emptyDir": {"medium": "Memory"}}],
        securityContext={"runAsUser": 1000, "fsGroup": 2000},
        restartPolicy="Never",
    )
    assert succeeded(kubectl, "writer").splitlines() == ["2000 2777", "1000 2000"]


def test_an_empty_dir_is_shared_and_sub_paths_are_made(kubectl: Any, apply: Any) -> None:
    writer = {**shell("echo hello > /out/f"), "name": "writer"}
    writer["volumeMounts"] = [{"name": "data", "mountPath": "/out", "subPathExpr": "$(WHO)/box"}]
    writer["env"] = [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    apply(
        "sharer", [shell("cat /data/sharer/box/f", data="/data")], initContainers=[writer], restartPolicy="Never",
        volumes=[{"name": "data", "emptyDir": {}}],
    )  # fmt: skip
    assert succeeded(kubectl, "sharer") == "hello"


def test_a_sub_path_cannot_lead_out_of_its_volume(kubectl: Any, apply: Any, reasons: Any) -> None:
    linker = {**shell("ln -s / /data/out", data="/data"), "name": "linker"}
    app = shell("ls /host")
    app["volumeMounts"] = [{"name": "data", "mountPath": "/host", "subPath": "out"}]
    apply("escaper", [app], initContainers=[linker], volumes=[{"name": "data", "emptyDir": {}}])
    why = 'failed to prepare subPath for volumeMount "data" of container "app"'
    eventually(lambda: reasons("escaper").get("Failed", "").removeprefix("Error: "), why)


def test_a_volume_can_be_mounted_inside_another(kubectl: Any, apply: Any) -> None:
    create(kubectl, "ConfigMap", "settings", data={"colour": "red"})
    apply(
        "nested",
        [
            shell(
                "echo x > /etc/settings/scratch/f; cat /etc/settings/colour /etc/settings/scratch/f",
                scratch="/etc/settings/scratch",
                settings="/etc/settings",
            )
        ],
        volumes=[{"name": "settings", "configMap": {"name": "settings"}}, {"name": "scratch", "emptyDir": {}}],
        restartPolicy="Never",
    )
    assert succeeded(kubectl, "nested") == "redx"


def test_labels_and_resources_are_files_and_labels_follow_the_pod(kubectl: Any, apply: Any) -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "app", "resource": "requests.cpu", "divisor": "1m"}},
    ]
    app = {**shell("sleep 600", info="/etc/info"), "resources": {"requests": {"cpu": "50m"}}}
    apply("labelled", [app], volumes=[{"name": "info", "downwardAPI": {"items": items}}])
    running(kubectl, "labelled")
    assert kubectl("exec", "labelled", "--", "sh", "-c", "cd /etc/info; cat labels; echo; cat cpu") == 'app="labelled"\n50'
    kubectl("label", "pod", "labelled", "version=v2")
    eventually(lambda: kubectl("exec", "labelled", "--", "cat", "/etc/info/labels"), 'app="labelled"\nversion="v2"')


def test_every_pod_can_talk_to_the_api_server_as_its_service_account(kubectl: Any, apply: Any, namespace: str) -> None:
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    ask = (
        f"cd {folder}; cat namespace; echo; "
        'curl -sS --cacert ca.crt -H "Authorization: Bearer $(cat token)" -H "Content-Type: application/json" '
        "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/apis/authentication.k8s.io/v1/selfsubjectreviews "
        """-d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'"""
    )
    apply("asker", [{"name": "app", "image": "curlimages/curl", "command": ["sh", "-c", ask]}], restartPolicy="Never")
    where, _, answer = succeeded(kubectl, "asker").partition("\n")
    assert where == namespace
    assert json.loads(answer)["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"


@pytest.mark.parametrize(
    ("context", "who"),
    [
        ({}, "0 0 644"),
        ({"runAsUser": 1000}, "1000 0 600"),
        ({"runAsUser": 1000, "fsGroup": 2000}, "1000 2000 640"),
        ({"fsGroup": 2000}, "0 2000 640"),
    ],
)
def test_a_token_can_be_read_by_those_who_need_it(kubectl: Any, apply: Any, context: dict[str, int], who: str) -> None:
    token = {"serviceAccountToken": {"path": "token", "audience": "istio-ca", "expirationSeconds": 600}}
    apply(
        "holder",
        [shell("stat -Lc '%u %g %a' /token/token", token="/token")],
        volumes=[{"name": "token", "projected": {"sources": [token]}}],
        securityContext=context,
        restartPolicy="Never",
    )
    assert succeeded(kubectl, "holder") == who


@pytest.mark.parametrize(
    ("volume", "names"),
    [
        ({"nfs": {"server": "10.0.0.9", "path": "/"}}, "has no nfs volumes"),
        ({"csi": {"driver": "disk.example.com"}}, "has no csi volumes"),
        ({"emptyDir": {"medium": "HugePages"}}, "has no HugePages emptyDir volumes"),
    ],
)
def test_a_volume_that_is_no_local_folder_is_refused_with_its_name(
    kubectl: Any, apply: Any, reasons: Any, volume: dict[str, Any], names: str
) -> None:
    apply("hopeful", [shell("true", data="/data")], volumes=[{"name": "data", **volume}])
    eventually(lambda: str(any(names in text for text in reasons("hopeful").values())), "True")


def test_an_image_volume_shows_the_files_of_another_image(kubectl: Any, apply: Any) -> None:
    volume = {"name": "other", "image": {"reference": "docker.io/istio/examples-helloworld-v1:1.0"}}
    apply("reader", [shell("sleep 600", other="/other")], volumes=[volume])
    running(kubectl, "reader")
    whole = kubectl("exec", "reader", "--", "find", "/other", "-type", "f").split()
    assert whole
    first = whole[0]
    refused = kubectl("exec", "reader", "--", "sh", "-c", f"echo x > {first} 2>&1; echo $?").strip().splitlines()
    assert refused[-1] == "1"
    inner = first.removeprefix("/other/").rpartition("/")[0]
    part = {**shell("ls /part", other="/part"), "volumeMounts": [{"name": "other", "mountPath": "/part", "subPath": inner}]}
    apply("part", [part], volumes=[volume], restartPolicy="Never")
    assert first.rpartition("/")[2] in succeeded(kubectl, "part").split()


def test_an_image_volume_holds_the_programs_of_its_image(kubectl: Any, apply: Any) -> None:
    volumes = [{"name": "other", "image": {"reference": "curlimages/curl"}}]
    found = {"name": "app", "image": "nginx", "command": ["sh", "-c", "/other/usr/bin/curl --version"]}
    apply("borrower", [{**found, "volumeMounts": [{"name": "other", "mountPath": "/other"}]}], volumes=volumes, restartPolicy="Never")
    assert succeeded(kubectl, "borrower").startswith("curl ")


def test_an_image_volume_of_an_unknown_image_waits_and_says_why(kubectl: Any, apply: Any, reasons: Any) -> None:
    apply("waiter", [shell("sleep 600", other="/other")], volumes=[{"name": "other", "image": {"reference": "example.com/none:1"}}])
    eventually(lambda: str("example.com/none:1" in reasons("waiter").get("FailedMount", "")), "True")


def test_a_sub_path_that_an_image_lacks_is_named(kubectl: Any, apply: Any, get: Any) -> None:
    part = {**shell("true"), "volumeMounts": [{"name": "other", "mountPath": "/part", "subPath": "none/such"}]}
    apply("lost", [part], volumes=[{"name": "other", "image": {"reference": "busybox"}}])

    def why() -> str:
        found = get("pod", "lost")["status"].get("containerStatuses") or [{"state": {}}]
        return str("none/such: no such file" in found[0]["state"].get("waiting", {}).get("message", ""))

    eventually(why, "True")
