"""Writes down what the real docker, podman and kind print, for tests/backends/test_kind.py: run it again when a new version matters.

    tests/real_kind/with-engine python tests/real_kind/record.py docker=/usr/bin/docker kind podman=/usr/bin/podman

A file for each program and version appears in tests/backends/recordings. Made images must be there (`meshcourse images make`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from meshcourse.authoring import course_images
from meshcourse.engine.go_programs import KIND
from meshcourse.imagemaking import archive, made

TARGET = Path(__file__).parents[1] / "backends" / "recordings"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
DIGEST = f"sha256:{'0' * 64}"


class Recorder:
    """Runs commands and records their output, without this machine's own paths."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.kept: dict[str, dict[str, object]] = {}

    def __call__(self, name: str, *words: str, before: tuple[str, ...] = (), **environment: str) -> str:
        done = subprocess.run(
            [*before, self.program, *words], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
        )
        texts = {"output": self._plain(done.stdout), "errors": self._plain(done.stderr)}
        self.kept[name] = {"words": [self._plain(word) for word in words], "code": done.returncode, **texts}
        return done.stdout

    def _plain(self, text: str) -> str:
        socket = os.environ.get("DOCKER_HOST", "?").removeprefix("unix://")
        for private, shown in ((socket, "/var/run/docker.sock"), (str(self.folder), "/tmp/recorded"), (str(Path.home()), "/home/ann")):
            text = text.replace(private, shown).replace(private.replace("/", "%2F"), shown.replace("/", "%2F"))
        return re.sub(r"\x1b\[[0-9;]*m", "", re.sub(r"\b[\d.]{7,15}:53\b", "192.0.2.53:53", text))

    def write(self, name: str) -> None:
        """Record all under `name`."""
        TARGET.mkdir(exist_ok=True)
        (TARGET / f"{name}.json").write_text(json.dumps(self.kept, indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"{name}: {len(self.kept)} recordings\n")


def engine(name: str, program: str, folder: Path) -> None:
    """Docker's or Podman's command line."""
    record = Recorder(program, folder)
    version = re.search(r"\d+\.\d+", record("version", "--version"))
    record("info: it answers", "info", "--format", "{{.ServerVersion}}" if name == "docker" else "{{.Version.Version}}")
    if name == "docker":
        record("info: nothing listens", "info", DOCKER_HOST="unix:///nonexistent.sock")
        record("info: no rights", "info", before=tuple(NOBODY))
    images = made.find(course_images.of_chapters())
    assert images is not None, "meshcourse images make"
    image = images.registry.references[0]
    archive.write(made.store(), [images.registry], folder / "image.tar")
    record("load", "load", "--input", str(folder / "image.tar"))
    record("image inspect: absent", "image", "inspect", "absent:1")
    record("pull: no network", "pull", f"docker.io/absent/absent:1@{DIGEST}")
    record("save: by a tag that it has not", "save", "--output", str(folder / "x.tar"), "absent:1")
    record("ps: none", "ps", "--all", "--quiet", "--filter", "label=absent=1")
    record("run", "run", "--detach", "--name", "recorded", "--publish", "127.0.0.1::5000", image)
    record("port", "port", "recorded", "5000/tcp")
    for state in ("running", "paused", "exited"):
        if state != "running":
            subprocess.run([program, {"paused": "pause", "exited": "kill"}[state], "recorded"], check=True, capture_output=True)
        found = json.loads(record(f"inspect: {state}", "inspect", "--type", "container", "recorded"))[0]
        kept = [{"Name": found["Name"], "State": {"Status": found["State"]["Status"]}, "NetworkSettings": {"Networks": _addresses(found)}}]
        record.kept[f"inspect: {state}"]["output"] = json.dumps(kept)
        if state == "paused":
            subprocess.run([program, "unpause", "recorded"], check=True, capture_output=True)
    record("run: the port is taken", "run", "--rm", "--name", "second", "--publish", f"127.0.0.1:{_port(record)}:5000", image)
    record("rm", "rm", "--force", "--volumes", "recorded")
    record.write(f"{name}-{version[0] if version else 'unknown'}")


def _addresses(container: dict[str, dict[str, dict[str, dict[str, str]]]]) -> dict[str, dict[str, str]]:
    return {name: {"IPAddress": found["IPAddress"]} for name, found in container["NetworkSettings"]["Networks"].items()}


def _port(record: Recorder) -> str:
    subprocess.run([record.program, "start", "recorded"], check=True, capture_output=True)
    return (
        subprocess.run([record.program, "port", "recorded", "5000/tcp"], check=True, capture_output=True, text=True)
        .stdout.rpartition(":")[2]
        .strip()
    )


def kind(program: str, folder: Path) -> None:
    """Kind's, with whatever engine it finds."""
    record = Recorder(program, folder)
    record("version", "version")
    record("get clusters: none", "get", "clusters")
    images = made.find(course_images.of_chapters())
    assert images is not None, "meshcourse images make"
    archive.write(made.store(), [images.node], folder / "node.tar")
    subprocess.run(["docker", "load", "--input", str(folder / "node.tar")], check=True, capture_output=True)
    config = folder / "config.yaml"
    mapping = "{containerPort: 31718, hostPort: 5999, listenAddress: 127.0.0.1}"
    config.write_text(
        f"{{kind: Cluster, apiVersion: kind.x-k8s.io/v1alpha4, nodes: [{{role: control-plane, extraPortMappings: [{mapping}]}}]}}"
    )
    words = ["create", "cluster", "--name", "recorded", "--kubeconfig", str(folder / "kubeconfig"), "--config", str(config)]
    record("create: no network", *words, "--image", f"kindest/node:v1.36.4@{DIGEST}")
    taken = ["docker", "run", "--detach", "--name", "taker", "--publish", "127.0.0.1:5999:5000", images.registry.references[0]]
    archive.write(made.store(), [images.registry], folder / "registry.tar")
    subprocess.run(["docker", "load", "--input", str(folder / "registry.tar")], check=True, capture_output=True)
    subprocess.run(taken, check=True, capture_output=True)
    record("create: the port is taken", *words, "--image", images.node.references[0])
    subprocess.run(["docker", "rm", "--force", "taker"], check=True, capture_output=True)
    record("delete: absent", "delete", "cluster", "--name", "recorded")
    record.write(f"kind-{KIND.version.removeprefix('v').rpartition('.')[0]}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for word in sys.argv[1:]:
            name, _, path = word.partition("=")
            if name == "kind":
                kind(path or str(KIND.ensure()), Path(scratch))
            else:
                engine(name, path or str(shutil.which(name)), Path(scratch))
