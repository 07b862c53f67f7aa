"""What the real kind makes of kind-config.yaml, as far as it goes without Docker: its own loader, and what it would ask Docker for.

The program is built from its Go module once, into the user's cache. Docker is a script that answers like Docker's own command line until a
container is to be run; that one it refuses, as Docker does when a port is taken.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from meshcourse.backends import compatibility, kind, kind_failures
from meshcourse.engine.go_programs import KIND

DOCKER = r"""#!/bin/sh
echo "$*" >> "$(dirname "$0")/log"
case "$*" in
-v) echo "Docker version 29.0.0, build 0";;
*SecurityOptions*) echo "'[]'";;
"info --format {{json .}}") echo '{"CgroupDriver":"systemd","CgroupVersion":"2","MemoryLimit":true,"PidsLimit":true,"CPUShares":true}';;
"info -f {{.Driver}}") echo overlay2;;
"info -f {{json .DriverStatus }}") echo '[["Backing Filesystem","extfs"],["Supports d_type","true"]]';;
"network ls"*) echo 0123456789ab;;
run*) echo "Bind for 127.0.0.1:80 failed: port is already allocated" >&2; exit 125;;
esac
"""
Create = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def create(tmp_path: Path) -> Create:
    """`kind create cluster` with this config; Docker's words are in bin/log."""
    program = KIND.ensure()
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {**os.environ, "PATH": f"{docker.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "KIND_EXPERIMENTAL_PROVIDER": "docker"}

    def run(config: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "config.yaml"
        path.write_text(config)
        words = [
            program,
            "create",
            "cluster",
            "--config",
            path,
            "--name",
            "t",
            "--image",
            compatibility.IMAGES["1.36"],
            "--kubeconfig",
            tmp_path / "k",
        ]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_kinds_own_loader_takes_the_config_and_maps_the_ports(create: Create, tmp_path: Path) -> None:
    ended = create(kind.config_file().read_text())
    asked = (tmp_path / "bin" / "log").read_text()
    (run,) = re.findall(r"^run .*$", asked, re.MULTILINE)
    for mapping in ("31718:31718/TCP", "80:31718/TCP", "443:31719/TCP"):
        assert f"--publish=127.0.0.1:{mapping}" in run
    assert run.endswith(compatibility.IMAGES["1.36"])
    assert kind_failures.advice(ended.stderr) == "docker ps    # which container has the port?"


def test_kinds_own_loader_refuses_what_is_misspelt(create: Create, tmp_path: Path) -> None:
    ended = create(kind.config_file().read_text().replace("extraPortMappings", "extraPortMapping"))
    assert ended.returncode != 0
    assert "extraPortMapping" in ended.stderr
    log = tmp_path / "bin" / "log"
    assert not log.exists() or "\nrun " not in log.read_text()
