"""Images pulled from a registry of this machine and run by a real cluster.

The registry is crane's own. The image is made here, of the host's busybox, with files of another owner, a user with a name, and links
where volumes are mounted. No other registry is reached: the cluster's proxy is a port on which nobody listens.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from registries import Layer, Registry, serving, with_libraries
from waiting import until

from meshcourse.cluster import clusters
from meshcourse.engine import binaries
from meshcourse.node.container import sandbox
from meshcourse.node.process import nsenter
from meshcourse.node.pulling import store

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

START = """#!/bin/sh
trap 'echo asked to end; exit 0' TERM
echo "$GREETING, $1, from $(pwd) as $(id -u):$(id -g)"
while true; do sleep 0.1; done
"""


def layer() -> Layer:
    """busybox with what it needs, one account, one private file, and what not every machine can unpack."""
    busybox = Path(str(shutil.which("busybox"))).resolve()
    made = Layer()
    made.programs({"bin/busybox": busybox} | with_libraries(busybox))
    for applet in ("sh", "sleep", "id", "cat", "ls", "stat", "touch", "readlink", "grep"):
        made.link(f"bin/{applet}", "busybox")
    made.add("bin/start", START.encode(), mode=0o755)
    made.add("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nada:x:1000:1001:Ada:/home/ada:/bin/sh\n")
    made.add("etc/group", b"root:x:0:\nada:x:1001:\nanalysts:x:1234:ada\n")
    made.add("home/ada", type=tarfile.DIRTYPE, mode=0o700, owner=1000)
    made.add("home/ada/note", b"only Ada reads this\n", mode=0o600, owner=1000)
    made.add("home/ada/far", owner=70_000)  # no such owner in a user namespace
    made.add("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    made.add("run", type=tarfile.DIRTYPE, mode=0o755)
    made.link("var/run", "/run")
    return made


class Stalling(socketserver.ThreadingTCPServer):
    """A proxy to a registry that passes on only so many bytes, like a broken connection."""

    daemon_threads = True

    def __init__(self, port: int, limit: int) -> None:
        self.port, self.left, self.over = port, limit, threading.Event()
        super().__init__(("127.0.0.1", 0), Crossing)


class Crossing(socketserver.BaseRequestHandler):
    server: Stalling

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as there:
            threading.Thread(target=self.copy, args=(self.request, there), daemon=True).start()
            while self.server.left > 0 and (chunk := there.recv(1 << 16)):
                self.server.left -= len(chunk)
                self.request.sendall(chunk)
            if self.server.left <= 0:
                self.server.over.wait()

    def copy(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := here.recv(1 << 16):
                there.sendall(chunk)


@dataclass
class Pulling:
    """A registry, with a cluster that pulls from it."""

    registry: Registry
    cluster: clusters.Cluster

    @property
    def host(self) -> str:
        return self.registry.host

    @property
    def image(self) -> str:
        return f"{self.host}/course/app:1"

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        command = [str(binaries.kubectl()), "--kubeconfig", str(self.cluster.kubeconfig), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def run(self, name: str, image: str, policy: str = "IfNotPresent", *, volumes: Any = (), **container: Any) -> None:
        spec = {
            "containers": [{"name": "app", "image": image, "imagePullPolicy": policy, **container}],
            "volumes": list(volumes),
            "terminationGracePeriodSeconds": 20,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))

    def status(self, name: str) -> Any:
        pod = json.loads(self.kubectl("get", "pod", name, "-o", "json"))
        return (pod["status"].get("containerStatuses") or [{}])[0]

    def ready(self, name: str) -> Any:
        self.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=30s")
        return self.status(name)

    def waiting(self, name: str, reason: str) -> str:
        """The message with which a container waits for this reason."""
        found: dict[str, str] = {}

        def look() -> bool:
            found.update((self.status(name).get("state") or {}).get("waiting") or {})
            return found.get("reason") == reason

        until(look)
        return found["message"]

    def event(self, name: str, reason: str, words: str = "") -> str:
        """The message of a pod's event that has these words; events are written after the fact."""
        found: list[str] = []

        def look() -> bool:
            items = json.loads(self.kubectl("get", "events", f"--field-selector=involvedObject.name={name}", "-o", "json"))["items"]
            found[:] = [each["message"] for each in items if each["reason"] == reason and words in each["message"]]
            return bool(found)

        until(look)
        return found[0]


@pytest.fixture(scope="module")
def pulling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulling]:
    folder = tmp_path_factory.mktemp("pulling")
    with serving(folder) as registry:
        host = registry.host
        config = ["--entrypoint", "/bin/start", "--cmd", "world", "--env", "GREETING=Hello", "--workdir", "/home/ada", "--user", "ada"]
        registry.crane("append", "--oci-empty-base", "-f", layer().write(folder / "layer.tar"), "-t", f"{host}/course/base:1")
        registry.crane("mutate", f"{host}/course/base:1", *config, "-t", f"{host}/course/app:1")
        large = Layer()
        large.add("large", os.urandom(4_000_000))
        registry.crane("append", "-b", f"{host}/course/base:1", "-f", large.write(folder / "large.tar"), "-t", f"{host}/course/large:1")
        started = clusters.up(f"pulling-{os.getpid()}", ingress_port=0, images="registry")
        try:
            pulling = Pulling(registry, started)
            pulling.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
            yield pulling
        finally:
            clusters.down(started.name)


@pytest.fixture(scope="module")
def app(pulling: Pulling) -> Pulling:
    """The pod `app`, of the image as it is, with a volume below a link of the image."""
    mount = {"name": "shared", "mountPath": "/var/run/shared"}
    pulling.run("app", pulling.image, volumeMounts=[mount], volumes=[{"name": "shared", "emptyDir": {}}])
    pulling.ready("app")
    return pulling


def test_the_images_own_config_and_files_run(app: Pulling) -> None:
    until(lambda: app.kubectl("logs", "app"))
    assert app.kubectl("logs", "app") == "Hello, world, from /home/ada as 1000:1001\n"
    digest = app.registry.crane("digest", app.image)
    assert app.status("app")["imageID"] == f"{app.host}/course/app@{digest}"
    assert re.search(rf"Successfully pulled .* Image size: {store.find(digest).size} bytes", app.event("app", "Pulled"))  # type: ignore[union-attr]


def test_exec_stands_where_the_container_stands(app: Pulling) -> None:
    said = app.kubectl("exec", "app", "--", "sh", "-c", "id; pwd; echo $GREETING $HOME; cat note; readlink /var/run; touch mine; ls -a /")
    assert said.splitlines()[:5] == [
        "uid=1000(ada) gid=1001(ada) groups=1234(analysts)",
        "/home/ada",
        "Hello /home/ada",
        "only Ada reads this",
        "/run",
    ]
    assert "usr" not in said.split()  # nothing of the host is seen
    app.kubectl("exec", "app", "--", "touch", "/var/run/shared/it")
    assert "token" in app.kubectl("exec", "app", "--", "ls", "/run/secrets/kubernetes.io/serviceaccount")
    assert not list(store.home().glob("*/root/home/ada/mine"))  # what a container writes is its own


def test_the_pod_lays_its_words_over_the_images(app: Pulling) -> None:
    app.run(
        "other",
        app.image,
        args=["$(WHOM)"],
        env=[{"name": "GREETING", "value": "Good day"}, {"name": "WHOM", "value": "moon"}],
        workingDir="/made/here",
        securityContext={"runAsUser": 7, "readOnlyRootFilesystem": True},
        readinessProbe={"exec": {"command": ["cat", "/etc/hosts"]}, "periodSeconds": 1},
    )
    app.ready("other")
    assert app.kubectl("logs", "other") == "Good day, moon, from /made/here as 7:0\n"
    assert "already present" in app.event("other", "Pulled")
    assert "Read-only file system" in app.kubectl("exec", "other", "--", "touch", "/tmp", check=False)


def test_a_container_and_what_enters_it_have_the_same_capabilities_and_no_more(app: Pulling) -> None:
    app.run("rooted", app.image, securityContext={"runAsUser": 0, "capabilities": {"drop": ["NET_RAW"], "add": ["NET_ADMIN"]}})
    app.ready("rooted")
    wanted = sandbox.DEFAULT_CAPABILITIES - {"NET_RAW"} | {"NET_ADMIN"}
    mask = sum(1 << number for number, name in enumerate(nsenter.CAPABILITIES) if name in wanted)
    lines = [f"CapInh:\t{0:016x}", *(f"{kind}:\t{mask:016x}" for kind in ("CapPrm", "CapEff", "CapBnd")), f"CapAmb:\t{0:016x}"]
    for process in ("2", "self"):  # the main process, and this one
        until(
            lambda process=process: app.kubectl("exec", "rooted", "--", "grep", "Cap", f"/proc/{process}/status").split("\n")[:5] == lines
        )
    assert "exit code 7" in app.kubectl("exec", "rooted", "--", "sh", "-c", "exit 7", check=False)
    assert 'exec: "nonesuch": No such file or directory' in app.kubectl("exec", "rooted", "--", "nonesuch", check=False)


def test_a_tag_that_is_not_there_is_refused_in_the_registrys_words(app: Pulling) -> None:
    app.run("absent", f"{app.host}/course/app:2")
    message = app.waiting("absent", "ImagePullBackOff")
    assert f"GET http://{app.host}/v2/course/app/manifests/2: MANIFEST_UNKNOWN" in message
    assert "check its name and its tag" in message
    assert "ErrImagePull" in message
    app.kubectl("set", "image", "pod/absent", f"app={app.image}")
    app.ready("absent")


def test_a_policy_of_never_pulls_nothing(app: Pulling) -> None:
    app.run("never", f"{app.host}/course/base:1", "Never")
    assert "not present with pull policy of Never" in app.waiting("never", "ErrImageNeverPull")
    app.run("present", app.image, "Never")
    app.ready("present")


def test_the_table_serves_its_images_when_their_registry_is_not_reached(app: Pulling) -> None:
    app.run("table", "busybox:1", command=["sleep", "1000"])
    assert app.ready("table")["imageID"] == "the host's busybox"
    assert "the host's busybox of this node's table runs instead" in app.event("table", "RegistryNotReached")
    app.run("nowhere", "example.com/mine:1")
    assert "meshcourse images" in app.waiting("nowhere", "ImagePullBackOff")


def test_a_deletion_asks_the_container_to_end(app: Pulling) -> None:
    app.run("ending", app.image)
    app.ready("ending")
    until(lambda: "Hello" in app.kubectl("logs", "ending"))  # it hears the signal from now on
    following = subprocess.Popen(
        [str(binaries.kubectl()), "--kubeconfig", str(app.cluster.kubeconfig), "logs", "-f", "ending"], stdout=subprocess.PIPE, text=True
    )
    assert following.stdout
    assert "Hello" in following.stdout.readline()  # it follows; a pod that is gone first could not be followed
    began = time.monotonic()
    app.kubectl("delete", "pod", "ending")
    assert "asked to end" in following.communicate(timeout=30)[0]
    assert time.monotonic() - began < 15


def test_what_was_pulled_is_listed_kept_while_it_is_used_and_pruned_then(
    app: Pulling, meshcourse: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    state = {"MESHCOURSE_STATE": os.environ["MESHCOURSE_STATE"]}
    assert json.loads(meshcourse("status", "--name", app.cluster.name, "-o", "json", environment=state).stdout)["images"] == "registry"
    (broken := store.begin("sha256:" + "0" * 64)).joinpath("half").write_text("a pull that broke off")
    listed = meshcourse("images", environment={"COLUMNS": "200"}).stdout
    assert re.search(rf"{re.escape(app.image)} +sha256:\w+ +\d+\.\d MB", listed)
    assert "1 kept" in meshcourse("images", "prune").stderr
    assert not broken.exists()
    line = Stalling(int(app.host.rpartition(":")[2]), 1_000_000)
    threading.Thread(target=line.serve_forever, daemon=True).start()
    app.run("stalled", f"127.0.0.1:{line.server_address[1]}/course/large:1")
    assert re.search(r"Pulling 127.0.0.1:\d+/course/large:1: \d\.\d MB so far", app.event("stalled", "Pulling", "so far"))
    app.registry.process.kill()  # the registry is gone: what is here still runs, unless the pod wants it fetched anew
    app.registry.process.wait()
    app.run("again", app.image)
    app.ready("again")
    app.run("anew", app.image, "Always")
    assert "connection refused" in app.waiting("anew", "ImagePullBackOff")
    began = time.monotonic()
    clusters.down(app.cluster.name)  # in the middle of a pull
    assert time.monotonic() - began < 10
    line.over.set()
    line.shutdown()
    line.server_close()
    assert len(list(store.home().glob("*.part"))) == 1
    assert "kept" not in meshcourse("images", "prune").stderr
    assert store.listed() == ()
    assert [path.name for path in store.home().iterdir() if path.name not in ("locks", "names")] == []
