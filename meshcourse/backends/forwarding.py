"""Forward a port of this machine to the ingress gateway through the API server, for clusters that offer no other way.

The forwarder and its kubectl both hold a lock for as long as they live, so neither can be left behind unnoticed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from meshcourse.backends import programs
from meshcourse.core import files, settings
from meshcourse.core.errors import ClusterError

STOPS_WITHIN: Final = 10.0
_LOCK: Final = "forward.lock"
_PID: Final = "forward.pid"
_PAUSES: Final = (0.05, 0.2, 0.5, 1.0, 2.0)
# The forwarders that this process started, kept so that they are reaped when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


def free_port() -> int:
    """A port of 127.0.0.1 on which no program listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def runs(home: Path) -> bool:
    """Whether the forwarder of this folder runs."""
    return files.is_locked(home / _LOCK)


def start(home: Path, port: int, inner: int = settings.HTTP_PORT) -> None:
    """Forward `port` to the gateway's port `inner`, unless that runs already. Returns at once: without Istio nothing answers there yet."""
    if runs(home):
        return
    for pid, ended in list(_children.items()):
        if ended.poll() is not None:
            del _children[pid]
    log = home / "logs" / "forward.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = files.claim(home / _LOCK)
    except BlockingIOError:  # another process forwards by now
        return
    try:
        argv = [sys.executable, "-m", __name__, str(programs.kubectl()), str(home), str(port), str(lock), str(inner)]
        with log.open("wb") as output:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(lock,), start_new_session=True, cwd="/"
            )
    finally:
        os.close(lock)
    _children[child.pid] = child
    (home / _PID).write_text(f"{child.pid}\n", encoding="ascii")


def stop(home: Path) -> bool:
    """End the forwarder and its kubectl, by its process id; False when there was none. Raises ClusterError when it does not end."""
    if not runs(home):
        return False
    pid, ends = int((home / _PID).read_text(encoding="ascii")), time.monotonic() + STOPS_WITHIN
    number = signal.SIGTERM
    while runs(home):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)  # it has its own session, and the lock shows that a process of it runs: the number is not reused
        if time.monotonic() > ends:
            raise ClusterError(f"Process {pid} does not end.", why="it forwards a port to the cluster", next=f"kill -9 -{pid}")
        number = signal.SIGKILL if time.monotonic() > ends - STOPS_WITHIN / 2 else number
        time.sleep(0.02)
    if child := _children.pop(pid, None):
        child.wait()
    (home / _PID).unlink(missing_ok=True)
    return True


def keep(kubectl: str, home: Path, port: int, lock: int, inner: int) -> None:
    """Run `kubectl port-forward` again whenever it ends: at once if it worked, after growing pauses if it failed.

    The gateway's Service has port 80; a learner's own port is open in its pod only.
    """
    argv = [kubectl, "--kubeconfig", str(home / "kubeconfig"), "port-forward", "--address", "127.0.0.1"]
    argv += [
        "--namespace",
        settings.ISTIO_NAMESPACE,
        f"{'service' if inner == settings.HTTP_PORT else 'deployment'}/{settings.INGRESS_GATEWAY}",
        f"{port}:{inner}",
    ]
    failures = 0
    while True:
        began = time.monotonic()
        subprocess.run(argv, stdin=subprocess.DEVNULL, pass_fds=(lock,), check=False)
        sys.stderr.flush()
        failures = 0 if time.monotonic() - began > 1.0 else min(failures + 1, len(_PAUSES) - 1)
        time.sleep(_PAUSES[failures])


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6]))
