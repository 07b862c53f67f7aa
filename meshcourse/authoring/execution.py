"""Execute notebooks: papermill runs one, nbval runs the executed copy again and compares.

Each run is a child process in its own session; `stop`, from any thread, ends them and their kernels, and refuses new runs.
Papermill and nbval come with the package's extra `dev`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from meshcourse.core import errors, lean_imports

LIMIT: Final = 300.0
"""Seconds after which a run is ended: no chapter takes that long."""
_GRACE: Final = 8.0
# What differs in each run: request ids, the ends of pods' names, numbers; and a bar, of which nbval sees only the first state.
_SANITIZE: Final = (
    "[ids]\nregex: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\nreplace: ID\n"
    "[pods]\nregex: -[0-9a-f]{7,10}-[a-z0-9]{5}\\b\nreplace: -POD\n"
    "[bars]\nregex: [\\u2588\\u2591]+\nreplace: BAR\n"
    "[digits]\nregex: \\d[\\d,.]*\nreplace: N\n"
)


@dataclass(frozen=True)
class Ended:
    """A child process that has ended: its exit code and its output."""

    code: int
    output: str


class Execution:
    """Runs notebooks, from any number of threads, until it is stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopped

    def papermill(
        self, notebook: Path, done: Path, environment: Mapping[str, str], *, parameters: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], str]:
        """Execute `notebook` in its own folder into `done`; returns the executed copy and, when a cell failed, why the run ended.

        Raises CourseError when no cell was executed.
        """
        argv = ["papermill", "--no-progress-bar", "--cwd", str(notebook.parent), str(notebook), str(done)]
        argv += [word for name, value in (parameters or {}).items() for word in ("-p", name, value)]
        done.unlink(missing_ok=True)
        ended = self._run(argv, notebook.parent, environment)
        if not done.is_file():
            raise errors.CourseError(
                f"{notebook.name} could not be executed.", why=ended.output[-2000:].strip(), next=f"papermill {notebook} {done}"
            )
        content: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        if content["metadata"].pop("widgets", None):  # 5 MB of plotly's JavaScript that no figure needs
            done.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return content, "" if ended.code == 0 else ended.output[-400:].strip()

    def nbval(self, done: Path, environment: Mapping[str, str]) -> Ended:
        """Execute the copy `done` again with nbval; outputs of cells tagged nbval-check-output must be equal, but for numbers."""
        with tempfile.TemporaryDirectory() as folder:
            rules = Path(folder) / "sanitize.cfg"
            rules.write_text(_SANITIZE)
            argv = ["pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", f"--nbval-sanitize-with={rules}"]
            argv += [f"--nbval-cell-timeout={LIMIT:.0f}", "--rootdir", str(done.parent), "-c", os.devnull, str(done)]
            return self._run(argv, done.parent, environment)

    def stop(self) -> None:
        """End every run and its kernel, and refuse new ones."""
        with self._lock:
            self._stopped = True
            children = list(self._children)
        for child in children:
            end(child)

    def _run(self, argv: list[str], folder: Path, environment: Mapping[str, str]) -> Ended:
        if importlib.util.find_spec(argv[0]) is None:
            raise errors.CourseError(f"{argv[0]} is not installed.", why="it executes notebooks", next="pip install 'meshcourse[dev]'")
        with self._child(lean_imports.module(*argv), folder, environment) as child:
            try:
                output, _ = child.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                end(child)
                output = f"it did not end within {LIMIT:.0f} s\n{child.communicate()[0]}"
        return Ended(child.returncode, output)

    @contextlib.contextmanager
    def _child(self, argv: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            if self._stopped:
                raise errors.CourseError("The run was stopped.")
            child = subprocess.Popen(
                argv,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches only this process, which passes it on
            )
            self._children.add(child)
        try:
            yield child
        finally:
            end(child)
            with self._lock:
                self._children.discard(child)


def end(child: subprocess.Popen[str]) -> None:
    """Interrupt `child`, so that it shuts down its kernel; kill what is left of its processes after some seconds."""
    if child.poll() is not None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = psutil.Process(child.pid).children(recursive=True)
        child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _GRACE
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        child.kill()
    child.wait()
