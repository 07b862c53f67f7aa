"""`meshcourse lab`: the notebooks in JupyterLab, with kubectl and istioctl on PATH."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, Name, named
from meshcourse.core import lean_imports, paths, settings
from meshcourse.core.errors import MeshcourseError
from meshcourse.jupyterlab import options, workbook

STARTS_WITHIN = 60.0
FIRST_PORT = 8888
RETRIES = 100
"""How many ports JupyterLab tries; its runtime file tells which it took. Were one looked for beforehand, another program could take it."""

Folder = Annotated[Path | None, typer.Option("--folder", help="The folder of your copies of the notebooks (created on first use).")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port of JupyterLab on 127.0.0.1; 0 takes 8888, or a free one near it.")]
Istio = Annotated[str, typer.Option("--istio", metavar="PROFILE", help="Istio profile for a cluster that has none yet, or none.")]


def lab(
    name: Name = DEFAULT_NAME,
    folder: Folder = None,
    port: Port = 0,
    istio: Istio = settings.DEFAULT_PROFILE,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Open the notebooks in JupyterLab. You work on copies of your own: an update of the course never overwrites them.

    \b
    meshcourse lab
    meshcourse lab --folder ~/mesh --open
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.backends import lookup, records
    from meshcourse.cli import up
    from meshcourse.course import chapters
    from meshcourse.lab import terminal

    up.start(name, api_port=0, ingress_port=settings.INGRESS_NODE_PORT)
    own = (folder or paths.state() / "notebooks").expanduser().resolve()
    course = chapters.folder()
    for line in workbook.lay(course, own):
        display.report(line)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal stops JupyterLab as Ctrl-C does
        signal.signal(number, signal.default_int_handler)
    token = secrets.token_hex(16)
    # JupyterLab takes seconds to start, Istio too: they start side by side.
    known = records.find(name)
    theirs = known is not None and known.backend == records.EXISTING  # Istio is never installed in an existing cluster without a question
    environment = dict(lookup.find(name).environment())
    environment[terminal.VARIABLE] = str(terminal.file(name))
    terminal.follow({**environment, "NAMESPACE": "default"}, into=environment[terminal.VARIABLE])
    with _server(own, port, token, environment) as server:
        up.install(name, up.NO_ISTIO if theirs else istio)
        url = f"http://127.0.0.1:{_wait(server, token)}/lab/tree/{first(course)}?token={token}"
        display.done(f"JupyterLab runs; Ctrl-C stops it (the cluster is yours until `meshcourse down{named(name)}`)")
        _say_how_to_type_along(name)
        try:
            display.console.print(url, soft_wrap=True)
            if open_browser:
                webbrowser.open(url)
            server.wait()
        except KeyboardInterrupt:
            display.report("stopping JupyterLab")


def first(course: Path) -> str:
    """The notebook to open: the course's first."""
    return min(path.name for path in course.glob("*.ipynb"))


@contextlib.contextmanager
def _server(folder: Path, port: int, token: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """JupyterLab, until Ctrl-C or the block's end. It gets its token in the environment, since every user can read argument lists."""
    words = lean_imports.module("jupyterlab", "--no-browser", "--ip=127.0.0.1")
    words += [f"--port={port or FIRST_PORT}", f"--ServerApp.port_retries={0 if port else RETRIES}"]
    words += ["--log-level=WARN", *options.arguments(folder)]
    environment = options.environment({**os.environ, **environment, "JUPYTER_TOKEN": token})
    environment.pop("MESHCOURSE_COMMAND", None)  # its terminals and cells have meshcourse on PATH
    with _log().open("wb") as log:
        server = subprocess.Popen(words, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _log() -> Path:
    """JupyterLab's log file, which only its owner may read."""
    path = paths.state() / "lab" / "jupyterlab.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return path


def _say_how_to_type_along(name: str) -> None:
    """Say how to put the commands on PATH in another terminal, unless this environment has them already."""
    activate = Path(sys.prefix) / "bin" / "activate"
    if activate.is_file():
        display.report(f'to type along in another terminal: source {activate} && eval "$(meshcourse env{named(name)})"')


def _wait(server: subprocess.Popen[bytes], token: str) -> int:
    """The port, once JupyterLab answers there to its token: the runtime file may be that of an ended server with the same process id."""
    from jupyter_core.paths import jupyter_runtime_dir

    facts = Path(jupyter_runtime_dir()) / f"jpserver-{server.pid}.json"
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        try:
            port = int(json.loads(facts.read_text(encoding="utf-8"))["port"])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=2):
                return port
        except (OSError, ValueError):  # not written, half written, not answering yet
            time.sleep(0.1)
    raise MeshcourseError(
        "JupyterLab did not start.",
        why=f"it ended with code {server.returncode}; its log is {_log()}" if server.poll() is not None else "it does not answer",
        next="meshcourse lab ... --port 8899",
    )
