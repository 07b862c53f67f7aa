"""Docker or Podman: which of them kind uses, whether it answers, and what this machine lacks for kind's nodes.

Nothing is started. The minimums for inotify are kind's own advice: below them pods fail with "too many open files" (kind.sigs.k8s.io, Known
Issues).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.backends import programs
from meshcourse.cluster.prerequisites import Check
from meshcourse.core.errors import ClusterError, MissingPrerequisite
from meshcourse.engine.go_programs import KIND

PROVIDER: Final = "KIND_EXPERIMENTAL_PROVIDER"
NAMES: Final = ("docker", "podman")
INOTIFY: Final = {"max_user_watches": 524288, "max_user_instances": 512}
WHY: Final = "kind's nodes are containers"
_PATIENCE: Final = 30.0


@dataclass(frozen=True)
class Engine:
    """A container engine that answers; `program` is its path."""

    name: str
    program: str
    rootless: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for kind."""
        return {} if self.name == "docker" else {PROVIDER: self.name}


def find(given: Mapping[str, str] = os.environ) -> Engine:
    """The engine that KIND_EXPERIMENTAL_PROVIDER names, else Docker, else Podman: the first that answers. Raises MissingPrerequisite."""
    chosen = given.get(PROVIDER, "")
    why = []
    for name in [chosen] if chosen in NAMES else NAMES:
        program = shutil.which(name, path=given.get("PATH"))
        complaint = _asked(program) if program else "it is not installed"
        if program and not complaint:
            return Engine(name, program, rootless=name == "podman" and os.getuid() != 0)
        why.append(f"{name}: {complaint}")
    next_step = "sudo systemctl start docker" if "installed" not in why[0] else "sudo apt install docker.io    # or podman"
    if "permission denied" in why[0]:
        next_step = "sudo usermod -aG docker $USER    # then log in again"
    raise MissingPrerequisite("No container engine answers.", why=f"{WHY}; {'; '.join(why)}", next=next_step)


def has(engine: Engine, image: str) -> bool:
    """Whether the engine has the image. Raises ClusterError when it does not answer."""
    try:
        programs.run([engine.program, "image", "inspect", image], {}, timeout=_PATIENCE)
    except ClusterError:
        return False
    return True


def _asked(program: str) -> str:
    """What is wrong with the engine; empty when nothing is."""
    try:
        done = subprocess.run([program, "info"], capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return complaint(done.stdout, done.stderr) if done.returncode else ""


def complaint(output: str, errors: str) -> str:
    r"""The reason in the output of a failed `info`. Docker 20.10 has it on stdout, and only "errors pretty printing info" on stderr.

    >>> complaint("Client:\nServer:\nERROR: permission denied\n", "errors pretty printing info\n")
    'permission denied'
    """
    lines = [line.strip() for line in (*output.splitlines(), *errors.splitlines()) if line.strip()]
    named = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (named or lines or ["it says nothing"])[-1]


def checks(inotify: Path = Path("/proc/sys/fs/inotify")) -> tuple[Check, ...]:
    """The doctor's lines for the kind backend."""
    try:
        engine = find()
        found = Check("containers", ok=True, found=f"{engine.name} answers ({engine.program})", why=WHY, fix="")
    except MissingPrerequisite as error:
        found = Check("containers", ok=False, found=error.what.rstrip("."), why=error.why, fix=error.next)
    return (found, _kind(), *_limits(inotify))


def _kind() -> Check:
    program = KIND.found()
    shown = str(program) if program else f"not here yet; `meshcourse up --backend kind` builds {KIND.version} from its Go module"
    return Check("kind", ok=True, found=shown, why="", fix="")


def _limits(folder: Path) -> tuple[Check, ...]:
    """The limits of inotify; none where there is no such file (macOS: the engine's virtual machine has its own)."""
    values = {name: int(path.read_text(encoding="ascii")) for name in INOTIFY if (path := folder / name).is_file()}
    if not values:
        return ()
    shown = ", ".join(f"{name} {value}" for name, value in values.items())
    low = [f"fs.inotify.{name}={INOTIFY[name]}" for name, value in values.items() if value < INOTIFY[name]]
    advice = f'; kind advises more (if pods say "too many open files": sudo sysctl {" ".join(low)})' if low else ""
    return (Check("inotify", ok=True, found=shown + advice, why="", fix=""),)
