"""Run kubectl and istioctl with the same arguments that a learner types.

An interrupt (Ctrl-C) ends the program too.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshcourse.core import errors
from meshcourse.kube.connection import Connection

Report = Callable[[str], None]
"""Called with one line of progress at a time."""


@dataclass(frozen=True)
class Completed:
    """A program that has ended: its arguments, its exit code, and its output."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def command(self) -> str:
        """The command line to type for the same."""
        return shlex.join(self.arguments)

    @property
    def complaint(self) -> str:
        """The error output: stderr, or stdout when stderr is empty."""
        return self.stderr.strip() or self.stdout.strip()


def find(connection: Connection, program: str) -> str:
    """The path of `program` on the connection's PATH. Raises MissingPrerequisite when it is not there."""
    found = shutil.which(program, path=connection.child_environment().get("PATH"))
    if found is None:
        raise errors.MissingPrerequisite(
            f"{program} is not on PATH.",
            why="meshcourse puts it there with the engine and its Python packages.",
            next="meshcourse doctor",
        )
    return found


def run(
    connection: Connection, arguments: Sequence[str], *, text: str | None = None, report: Report | None = None, timeout: float = 300.0
) -> Completed:
    """Run `arguments` and wait; `text` goes to stdin, and `report` is called with every line of stdout and stderr.

    An exit code other than 0 raises nothing: its meaning differs from program to program. Raises MissingPrerequisite when the program is
    not found and MeshError when it does not end within `timeout` seconds.
    """
    program = find(connection, arguments[0])
    child = subprocess.Popen(
        [program, *arguments[1:]],
        env=connection.child_environment(),
        stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    collected: tuple[list[str], list[str]] = ([], [])
    readers = [
        threading.Thread(target=_collect, args=(stream, lines, report), daemon=True)
        for stream, lines in zip((child.stdout, child.stderr), collected, strict=True)
    ]
    for reader in readers:
        reader.start()
    try:
        if child.stdin is not None:
            _feed(child, text or "")
        child.wait(timeout)
    except subprocess.TimeoutExpired as error:
        command = shlex.join(arguments)
        raise errors.MeshError(
            f"`{command}` did not end within {timeout:.0f} s.",
            why=("".join(collected[1]).strip() or "it printed no error"),
            next="kubectl get pods -A    # is something not ready?",
        ) from error
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        for reader in readers:
            reader.join(timeout=5)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    return Completed(tuple(arguments), child.returncode, "".join(collected[0]), "".join(collected[1]))


def _feed(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None  # noqa: S101 - for the type checker: the caller checked
    try:
        child.stdin.write(text)
        child.stdin.close()
    except BrokenPipeError:
        pass  # it ended without reading everything; its exit code and output say why


def _collect(stream: object, lines: list[str], report: Report | None) -> None:
    for line in stream:  # type: ignore[attr-defined]
        lines.append(line)
        if report is not None:
            report(line.rstrip("\n"))
