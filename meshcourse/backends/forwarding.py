"""A port of this machine that leads to the ingress gateway through the API server, for clusters that offer no other way.

It runs while its lock is held: it and its kubectl both hold it, so neither can be left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from meshcourse.backends import programs
from meshcourse.cluster import clusters
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError

STOPS_WITHIN: Final = 10.0
_LOCK: Final = "forward.lock"
_PID: Final = "forward.pid"
_PAUSES: Final = (0.05, 0.2, 0.5, 1.0, 2.0)
# Those that this process started: kept, so that they are reaped when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def runs(home: Path) -> bool:
    """Whether the forwarder of this folder lives."""
    return clusters.is_locked(home, _LOCK)


def start(home: Path, port: int, inner: int = settings.HTTP_PORT) -> None:
    """Forward `port` to the gateway's port `inner`, unless it is being done. It is not waited for: without Istio it leads nowhere yet."""
    if runs(home):
        return
    for pid, ended in list(_children.items()):
        if ended.poll() is not None:
            del _children[pid]
    log = home / "logs" / "forward.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _taken(lock, home):
            return
        words = [sys.executable, "-m", __name__, str(programs.kubectl()), str(home), str(port), str(lock), str(inner)]
        with log.open("wb") as output:
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(lock,), start_new_session=True, cwd="/"
            )
    finally:
        os.close(lock)
    _children[child.pid] = child
    (home / _PID).write_text(f"{child.pid}\n", encoding="ascii")


def _taken(lock: int, home: Path) -> bool:
    """Take the lock; False when somebody forwards by now. Who merely looks whether it is held has it for a moment."""
    while not runs(home):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def stop(home: Path) -> bool:
    """End the forwarder and its kubectl, by its process id; False when there was none. Raises ClusterError when it does not end."""
    if not runs(home):
        return False
    pid, ends = int((home / _PID).read_text(encoding="ascii")), time.monotonic() + STOPS_WITHIN
    number = signal.SIGTERM
    while runs(home):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)  # its session of its own: the lock says that something of it lives, so the number is still its
        if time.monotonic() > ends:
            raise ClusterError(f"Process {pid} does not end.", why="it forwards a port to the cluster", next=f"kill -9 -{pid}")
        number = signal.SIGKILL if time.monotonic() > ends - STOPS_WITHIN / 2 else number
        time.sleep(0.02)
    if child := _children.pop(pid, None):
        child.wait()
    (home / _PID).unlink(missing_ok=True)
    return True


def keep(kubectl: str, home: Path, port: int, lock: int, inner: int) -> None:
    """Run `kubectl port-forward` again and again, at once after one that worked, ever more slowly while it cannot.

    The gateway's Service has port 80; a learner's own is open in its pod only.
    """
    words = [kubectl, "--kubeconfig", str(home / "kubeconfig"), "port-forward", "--address", "127.0.0.1"]
    words += [
        "--namespace",
        settings.ISTIO_NAMESPACE,
        f"{'service' if inner == settings.HTTP_PORT else 'deployment'}/{settings.INGRESS_GATEWAY}",
        f"{port}:{inner}",
    ]
    failures = 0
    while True:
        began = time.monotonic()
        subprocess.run(words, stdin=subprocess.DEVNULL, pass_fds=(lock,), check=False)
        sys.stderr.flush()
        failures = 0 if time.monotonic() - began > 1.0 else min(failures + 1, len(_PAUSES) - 1)
        time.sleep(_PAUSES[failures])


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6]))
