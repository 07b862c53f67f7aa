"""`meshcourse logs COMPONENT`: the log of a control plane program or of the node."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from meshcourse.backends import records
from meshcourse.cli.options import DEFAULT_NAME, Name
from meshcourse.core import paths
from meshcourse.core.errors import ClusterError

LOOKS = 0.2
"""Seconds between two checks for new lines."""


def logs(
    component: Annotated[str, typer.Argument(help="etcd, kube-apiserver, kube-scheduler, kube-proxy, node, ...")],
    name: Name = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new lines as they come, until Ctrl-C.")] = False,
    tail: Annotated[int, typer.Option(min=0, help="How many lines to show, from the end.")] = 100,
) -> None:
    """Show the log of a part of the cluster. For the logs of pods use `kubectl logs`.

    \b
    meshcourse logs kube-apiserver --tail 20
    meshcourse logs node -f
    """  # noqa: D301 - \\b tells click to keep the lines
    path = find(paths.cluster(name) / "logs", component, name)
    try:
        for line in lines(path, tail=tail, follow=follow):
            sys.stdout.write(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


def find(folder: Path, component: str, cluster: str) -> Path:
    """The log of `component` in `folder`. Raises ClusterError with the names of all logs."""
    known = sorted(path.stem for path in folder.glob("*.log"))
    if component in known:
        return folder / f"{component}.log"
    if record := records.find(cluster):
        raise ClusterError(
            f"meshcourse keeps no logs of a cluster of the backend {record.backend}.",
            why="its programs are not started by meshcourse",
            next=f"kind export logs --name {cluster} FOLDER    # kubelet.log, containerd.log and the pods' logs"
            if record.backend == records.KIND
            else "kubectl logs -n kube-system POD",
        )
    if not known:
        raise ClusterError(f'Cluster "{cluster}" has no logs.', why="It has never been started.", next=f"meshcourse up --name {cluster}")
    raise ClusterError(
        f'There is no log of "{component}".',
        why=f"Logs: {', '.join(known)}.",
        next=f"meshcourse logs {known[0]} --name {cluster}",
    )


def lines(path: Path, *, tail: int, follow: bool) -> Iterator[str]:
    """The last `tail` lines of a file, and with `follow` the new ones, also after a rotation."""
    file = path.open(encoding="utf-8", errors="replace")
    try:
        yield from deque(file, maxlen=tail)
        while follow:
            line = file.readline()
            if line:
                yield line
                continue
            if path.exists() and path.stat().st_ino != _inode(file.fileno()):
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
                continue
            time.sleep(LOOKS)
    finally:
        file.close()


def _inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino
