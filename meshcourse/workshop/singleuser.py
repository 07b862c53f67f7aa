"""A learner's single-user server: copies the notebooks, starts the cluster, then becomes JupyterHub's single-user server. It is a program.

Addresses of the gateway in the notebooks' text become links that work in the learner's browser.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from meshcourse.backends import lookup
from meshcourse.core import errors, lean_imports, paths, settings
from meshcourse.course import chapters
from meshcourse.engine import binaries
from meshcourse.jupyterlab import options, workbook
from meshcourse.lab import addresses, terminal
from meshcourse.workshop import messages, record

PREFIX: Final = "startup:"
READY: Final = f"{PREFIX} ready"
SERVER: Final = Path(__file__).parent / "server"
"""Settings of the learner's server: the gateway's page and the instructor's messages."""
ON: Final = "MESHCOURSE_WORKSHOP_ON"
KUBECONFIG: Final = "MESHCOURSE_WORKSHOP_KUBECONFIG"
SANDBOX: Final = "MESHCOURSE_WORKSHOP_SANDBOX"
"""Set where the learner's server runs in a sandbox."""


def command() -> list[str]:
    """This program."""
    return lean_imports.module("meshcourse.workshop.singleuser")


def environment(workshop: record.Workshop, own: Path, given: Mapping[str, str], *, account: str) -> dict[str, str]:
    """For a server whose learner has the folder `own`; the engine is shared."""
    prefix = given.get("JUPYTERHUB_SERVICE_PREFIX", "/")
    return {
        **options.environment(given),
        "USER": account,
        "HOME": str(own),
        "SHELL": "/bin/bash",
        "MESHCOURSE_STATE": str(own / "state"),
        "MESHCOURSE_CACHE": str(own / "cache"),
        "MESHCOURSE_ENGINE": str(binaries.home()),
        "JUPYTER_RUNTIME_DIR": "/tmp/jupyter",  # noqa: S108 - the sandbox's own; paths of sockets must be short
        addresses.VARIABLE: f"{prefix}gateway/",
        ON: workshop.on,
        KUBECONFIG: str(own / "kubeconfig"),
        SANDBOX: account,
        "LANG": given.get("LANG", "C.UTF-8"),
    }


def adapted(name: str, content: bytes, link: str) -> bytes:
    """A notebook in whose text addresses of the gateway lead the reader's browser through the hub; what shell cells type stays."""
    if not name.endswith(".ipynb"):
        return content
    address = f"http://127.0.0.1:{settings.INGRESS_NODE_PORT}".encode()

    def linked(found: re.Match[bytes]) -> bytes:
        there = link.encode() + found[2]
        return b"[" + (there if found[1].startswith(address) else found[1]) + b"](" + there + b")"

    return re.sub(rb"\[([^\[\]]*)\]\(" + re.escape(address) + rb"/?([^)\s]*)\)", linked, content)


def report(text: str) -> None:
    """Print one line for the page that the learner sees during the start."""
    print(f"{PREFIX} {text}", flush=True)  # noqa: T201 - the hub reads it


def main() -> None:
    """Prepare, say READY, become the server."""
    own = paths.state() / "notebooks"
    own.mkdir(parents=True, exist_ok=True)
    link = os.environ.setdefault(addresses.VARIABLE, f"{os.environ['JUPYTERHUB_SERVICE_PREFIX']}gateway/")
    for line in workbook.lay(chapters.folder(), own, lambda name, content: adapted(name, content, link)):
        report(line)
    report("your cluster starts: Kubernetes and Istio, about ten seconds")
    _start_cluster()
    file = terminal.file(settings.DEFAULT_CLUSTER)
    os.environ[terminal.VARIABLE] = str(file)
    with contextlib.suppress(errors.MeshcourseError):  # no cluster: a chapter's first cell says what is wrong
        os.environ.update(lookup.find().environment())
    terminal.follow({**os.environ, "NAMESPACE": "default"}, into=str(file))
    report("ready")
    words = lean_imports.module("jupyterhub.singleuser", *options.arguments(own), *sys.argv[1:])
    words.append(f"--LabServerApp.extra_labextensions_path={messages.FOLDER}")
    if (
        SANDBOX not in os.environ or os.environ[ON] == record.EXISTING
    ):  # kernels listen on ports of 127.0.0.1 otherwise, which all accounts of the machine reach
        words.append("--KernelManager.transport=ipc")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join((str(SERVER), os.environ.get("JUPYTER_CONFIG_PATH", "")))
    os.execvp(words[0], words)  # noqa: S606 - the words are ours


def _start_cluster() -> None:
    """Start it, if it does not run. Without one the notebooks open all the same, and their first cell says what is wrong."""
    words = [sys.executable, "-m", "meshcourse.cli.main", "up"]
    if os.environ.get(ON) == record.EXISTING:
        given = os.environ[KUBECONFIG]
        words += ["--backend", "existing", "--kubeconfig", given, "--learner", os.environ["USER"], "--ingress", "port-forward", "--yes"]
    elif SANDBOX not in os.environ:
        words += ["--ingress-port", "0"]  # all learners share 127.0.0.1
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as up:
        assert up.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        for line in up.stdout:
            if line.strip():
                report(line.strip())


if __name__ == "__main__":
    try:
        main()
    except errors.MeshcourseError as error:
        report(str(error).replace("\n", "; "))
        sys.exit(1)
