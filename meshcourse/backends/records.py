"""What a backend must remember about a cluster between two commands, the backend itself included.

A name without a record is an embedded cluster: that backend needs only its lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import meshcourse
from meshcourse.core import files, paths, settings
from meshcourse.core.errors import ClusterError

EXISTING: Final = "existing"
KIND: Final = "kind"


@dataclass(frozen=True)
class Record:
    """One named cluster. `started` is Unix time in seconds; `version` that of the package; `owner` the label's value on what is made there.

    `learner` is the learner's name in a shared cluster, and `gateway_port` that learner's port of the ingress gateway; 80 is shared.
    `source` and `context` say where an existing cluster's kubeconfig came from; `kubernetes` and `istio` which versions a kind cluster
    was asked for; `istioctl` is the program fetched for it; empty means not given.
    `images` is "made" when a kind cluster's images were made here, and empty for public ones.
    """

    name: str
    backend: str
    started: float
    owner: str = ""
    api_url: str = ""
    ingress_url: str = ""
    ingress: str = ""
    source: str = ""
    context: str = ""
    kubernetes: str = ""
    istio: str = ""
    istioctl: str = ""
    images: str = ""
    learner: str = ""
    gateway_port: int = settings.HTTP_PORT
    version: str = meshcourse.__version__

    @property
    def home(self) -> Path:
        """The cluster's folder."""
        return paths.cluster(self.name)

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of its own, with nothing but this cluster in it."""
        return self.home / "kubeconfig"


def find(name: str) -> Record | None:
    """The record of `name`, or None. Raises ClusterError when it cannot be read."""
    path = _path(name)
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"The record of cluster {name} cannot be read.",
            why=f"{path}: {error}",
            next=f"rm {path}    # the cluster itself stays",
        ) from error


def every() -> tuple[Record, ...]:
    """All records of this user, by name."""
    found = (find(path.parent.name) for path in sorted(paths.clusters().glob("*/backend.json")))
    return tuple(record for record in found if record)


def write(record: Record) -> Record:
    """Save `record` and return it. Raises ClusterError when the folder cannot be written."""
    path = _path(record.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.replace(path, json.dumps(dataclasses.asdict(record), indent=1) + "\n")
    except OSError as error:
        why = f"The cluster's folder {path.parent} cannot be written."
        raise ClusterError(why, why=str(error), next="df -h; MESHCOURSE_STATE names another folder") from error
    return record


def forget(record: Record) -> None:
    """Delete the cluster's folder except its logs."""
    clear(record.home)


def clear(home: Path) -> None:
    """Delete the contents of a cluster's folder except its logs, and the folder itself when nothing is left."""
    for path in home.iterdir():
        if path.name != "logs":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with contextlib.suppress(OSError):
        home.rmdir()


def _path(name: str) -> Path:
    return paths.cluster(name) / "backend.json"
