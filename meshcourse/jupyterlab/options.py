"""Arguments and environment of a course's JupyterLab, for `meshcourse lab` and for a workshop's hub."""

from __future__ import annotations

import json
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SETTINGS: Final = Path(__file__).parent
"""JupyterLab's defaults for a course: no question about news, no look for updates. A learner's own settings come before them."""
SHELLS: Final = SETTINGS / "shells"
"""What its terminals run: the learner's own shell, which follows the chapter that was opened last."""


def arguments(folder: Path) -> list[str]:
    """The arguments of a JupyterLab that serves `folder`."""
    words = [f"--ServerApp.root_dir={folder}", "--ServerApp.terminals_enabled=True"]
    words += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    words.append(f"--ServerApp.terminado_settings={json.dumps({'shell_command': ['/bin/sh', str(SHELLS / 'start.sh'), str(SHELLS)]})}")
    words.append(f"--LabServerApp.extra_labextensions_path={SETTINGS / 'labextensions'}")
    if os.geteuid() == 0:
        words.append("--allow-root")
    return words


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """`given`, with the course's settings and with this installation's programs on PATH."""
    settings = os.pathsep.join(filter(None, (str(SETTINGS), given.get("JUPYTER_CONFIG_PATH"))))
    path = given.get("PATH", os.defpath).split(os.pathsep)
    path = list(dict.fromkeys((*path, sysconfig.get_path("scripts"))))
    return {**given, "JUPYTER_CONFIG_PATH": settings, "PATH": os.pathsep.join(path)}
