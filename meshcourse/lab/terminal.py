"""The cluster and namespace for JupyterLab's terminals: those of the chapter whose first cell ran last.

`meshcourse lab` names a file by MESHCOURSE_TERMINAL; its terminals read it before each command (jupyterlab/shells). It has export lines
that bash, zsh and fish all read.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from meshcourse.core import paths

VARIABLE: Final = "MESHCOURSE_TERMINAL"
_PASSED_ON: Final = ("KUBECONFIG", "INGRESS_URL", "INGRESS_PORT", "NAMESPACE", "MESHCOURSE_CLUSTER")


def file(cluster: str) -> Path:
    """The file of the JupyterLab that serves that cluster."""
    return paths.state() / "lab" / f"terminal-{cluster}.sh"


def follow(environment: Mapping[str, str], *, into: str = "") -> None:
    """Make the terminals use `environment`; without `into`, those of the JupyterLab that this kernel belongs to, if any."""
    name = into or os.environ.get(VARIABLE)
    if not name:
        return
    content = {key: environment[key] for key in _PASSED_ON if key in environment}
    content["MESHCOURSE_PATH"] = os.pathsep.join(folders(environment.get("PATH", os.defpath)))
    lines = [f"export {key}={shlex.quote(value)}\n" for key, value in content.items()]
    target = Path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.{os.getpid()}")
    beside.write_text("".join(lines), encoding="utf-8")
    beside.replace(target)  # atomically: a terminal may be reading it


def folders(path: str) -> tuple[str, ...]:
    """The folders of kubectl, istioctl and meshcourse, each once; `path` is searched for the first two."""
    found = (shutil.which(program, path=path) for program in ("kubectl", "istioctl"))
    return tuple(dict.fromkeys((*(str(Path(each).parent) for each in found if each), sysconfig.get_path("scripts"))))
