"""The embedded clusters of this user: start, find and stop them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import meshcourse
from meshcourse.cluster import inotify, limits
from meshcourse.cluster.daemon_options import LOCK
from meshcourse.cluster.host_ports import OpenPort
from meshcourse.cluster.supervisor import Health
from meshcourse.core import files, paths, settings
from meshcourse.core.errors import ClusterError, MeshcourseError, MissingPrerequisite

STOPS_WITHIN = 15.0
# The daemons that this process started, kept so that they are reaped when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Cluster:
    """A running cluster. `version` is the package's that started it; `started` is Unix time in seconds; `images` one of IMAGE_SOURCES."""

    name: str
    pid: int
    api_port: int
    ingress_port: int
    version: str
    started: float
    home: Path
    images: str = settings.IMAGE_SOURCES[0]
    egress: bool = False
    https_port: int = 0
    nodes: int = 1

    @property
    def kubeconfig(self) -> Path:
        """Its administrator's kubeconfig."""
        return self.home / "kubeconfig"

    @property
    def logs(self) -> Path:
        """The folder with one log for each component."""
        return self.home / "logs"

    @property
    def ingress_url(self) -> str:
        """Where the ingress gateway answers on this machine."""
        return f"http://127.0.0.1:{self.ingress_port}"


def check_name(name: str) -> None:
    """Raise ClusterError unless `name` is at most 32 lower-case letters, digits and dashes, as a node's name must be."""
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f'"{name}" cannot be the name of a cluster.',
            why="It becomes a node's name: lower-case letters, digits and dashes, at most 32, not beginning or ending with a dash.",
            next="meshcourse up ... --name my-mesh",
        )


def find(name: str) -> Cluster | None:
    """The running cluster called `name`, if there is one."""
    home = paths.cluster(name)
    if not files.is_locked(home / LOCK):
        return None
    try:
        record: dict[str, Any] = json.loads((home / "daemon.json").read_text(encoding="utf-8"))
        known = {each.name for each in fields(Cluster)}  # another version of the package may have written more fields
        return Cluster(home=home, **{name: value for name, value in record.items() if name in known})
    except (FileNotFoundError, ValueError, TypeError):
        return None


def running() -> tuple[Cluster, ...]:
    """All running clusters of this user, by name."""
    homes = sorted(paths.clusters().glob("*/lock"))
    return tuple(cluster for home in homes if (cluster := find(home.parent.name)))


def get(name: str) -> Cluster:
    """The running cluster called `name`. Raises ClusterError when it does not run."""
    if cluster := find(name):
        return cluster
    others = ", ".join(each.name for each in running())
    raise ClusterError(
        f'Cluster "{name}" does not run.',
        why=f"These do: {others}." if others else "No embedded cluster runs.",
        next="meshcourse up" if name == settings.DEFAULT_CLUSTER else f"meshcourse up --name {name}",
    )


def up(  # noqa: PLR0913 - each is an option of the command
    name: str = settings.DEFAULT_CLUSTER,
    *,
    api_port: int = 0,
    ingress_port: int = settings.INGRESS_NODE_PORT,
    images: str = settings.TABLE,
    egress: bool = False,
    nodes: int = 1,
    report: Callable[[str], None] = lambda _text: None,
) -> Cluster:
    """Start the cluster called `name`, or return it when it runs already; `report` is called with each step.

    An exception or an interrupt ends the daemon too. Unless `images` is the table, crane must be installed. Raises ClusterError when the
    cluster does not start, a port is taken, or another version of the package started it, and MissingPrerequisite.
    """
    check_name(name)
    if cluster := find(name):
        if cluster.version != meshcourse.__version__:
            raise ClusterError(
                f'Cluster "{name}" was started by meshcourse {cluster.version}; this is {meshcourse.__version__}.',
                next=f"meshcourse down --name {name} && meshcourse up --name {name}",
            )
        return cluster
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]
    if raised := inotify.enlarge():
        report(raised)
    home = paths.cluster(name)
    read_end, write_end = os.pipe()
    argv = [sys.executable, "-m", "meshcourse.cluster.daemon", "--name", name, "--home", str(home)]
    argv += ["--api-port", str(api_port), "--ingress-port", str(ingress_port), "--images", images, "--report", str(write_end)]
    argv += ["--nodes", str(nodes)]
    argv += ["--egress"] if egress else []
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)  # its owner's alone: parents get no mode
        (home / "logs").mkdir(exist_ok=True)
        with (home / "logs" / "node.log").open("ab") as log:
            daemon = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(write_end,), start_new_session=True, cwd="/"
            )
    except OSError as error:
        os.close(read_end)
        what = f"The cluster's folder {home} cannot be written."
        raise ClusterError(what, why=str(error), next="df -h; MESHCOURSE_STATE names another folder") from error
    finally:
        os.close(write_end)
    _children[daemon.pid] = daemon
    try:
        with os.fdopen(read_end, encoding="utf-8") as lines:
            _follow(lines, report, home)
    except BaseException:
        _end(daemon.pid, home)
        raise
    return get(name)


def _follow(lines: Any, report: Callable[[str], None], home: Path) -> None:  # noqa: ANN401 - a text stream
    for line in lines:
        fact = json.loads(line)
        if step := fact.get("step"):
            report(step)
        if fact.get("ready"):
            return
        if error := fact.get("error"):
            kind: type[MeshcourseError] = MissingPrerequisite if error.get("kind") == "MissingPrerequisite" else ClusterError
            raise kind(error["what"], why=error["why"], next=error["next"] or f"less {home / 'logs' / 'node.log'}")
    raise ClusterError("The cluster's daemon ended unexpectedly.", next=f"less {home / 'logs' / 'node.log'}")


def down(name: str) -> bool:
    """Stop the cluster called `name`; False when it did not run. Its logs stay. Raises ClusterError when it does not end in time."""
    cluster = find(name)
    if cluster is None:
        limits.release(paths.cluster(name))  # a killed daemon left them
        return False
    _end(cluster.pid, cluster.home)
    return True


def _end(pid: int, home: Path) -> None:
    """Ask the daemon to stop, kill it if it does not, and wait until all of its processes have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOPS_WITHIN
    killed = False
    while files.is_locked(home / LOCK):
        if time.monotonic() > deadline and not killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed = True
        if time.monotonic() > deadline + 5:
            raise ClusterError(f"Process {pid} of the cluster does not end.", next=f"kill -9 {pid}")
        time.sleep(0.02)
    if child := _children.pop(pid, None):
        child.wait()
    (home / "daemon.json").unlink(missing_ok=True)


def health(cluster: Cluster) -> tuple[Health, ...]:
    """The components, in the order of their start; empty while the cluster starts."""
    try:
        listed = json.loads((cluster.home / "status.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(Health(**each) for each in listed)


def ports(cluster: Cluster) -> tuple[OpenPort, ...]:
    """The ports of its Services on this machine, by Service; those with a `why` do not answer."""
    try:
        listed = json.loads((cluster.home / "ports.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(OpenPort(**each) for each in listed)
