"""`%%bash` cells of a notebook: IPython's own, except that a command that fails shows no Python traceback.

Below the command's output come the exit code and what to do. Execution of the notebook as a whole still stops there. Shell lines typed into
a Python cell get a line that says how to begin the cell.
"""

from __future__ import annotations

import shutil
import subprocess
from types import TracebackType
from typing import Any, Final

from IPython.core.getipython import get_ipython

from meshcourse.core import errors

SHELL_WORDS: Final = ("for", "if", "while", "export", "cd", "set")
"""First words of shell lines that are not programs."""


class CommandFailed(errors.CourseError):
    """A cell's bash ended with a failure."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def register() -> None:
    """Replace `%%bash` in this kernel; does nothing outside IPython. Safe to call again."""
    shell: Any = get_ipython()
    if shell is None or getattr(shell.find_cell_magic("bash"), "meshcourse", False):
        return
    original = shell.find_cell_magic("bash")

    def bash(line: str, cell: str) -> None:
        try:
            original(line, cell)
        except subprocess.CalledProcessError as failed:
            raise ended(failed.returncode) from None

    bash.meshcourse = True  # type: ignore[attr-defined]
    shell.register_magic_function(bash, "cell", "bash")
    shell.set_custom_exc((SyntaxError, NameError), _show)


def ended(code: int) -> CommandFailed:
    """The error for a cell whose last command failed: bash gives a cell the exit code of its last command."""
    if code == 127:  # noqa: PLR2004 - bash's own number
        return CommandFailed(
            "A command was not found.", why="the line above names it", next="look for a typing error and run the cell again"
        )
    if code < 0:
        return CommandFailed("The cell was stopped.", next="run the cell again")
    return CommandFailed(f"The last command failed (exit code {code}).", why="the lines above say why")


def _show(
    shell: Any,  # noqa: ANN401 - IPython's shell is hardly typed
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    """Show the error as IPython does, and below it how a shell cell begins, when the cell looks like shell."""
    if isinstance(error, SyntaxError):
        shell.showsyntaxerror()
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
    cell = str(shell.history_manager.input_hist_raw[-1]) if shell.history_manager else ""
    faulty = (error.text or "") if isinstance(error, SyntaxError) else ""
    if looks_like_shell(cell) or looks_like_shell(faulty):
        print("Is this meant for the shell? Then the cell's first line must be: %%bash")  # noqa: T201 - what a notebook's cell shows


def looks_like_shell(cell: str) -> bool:
    """Whether a cell's first line of code begins with a program on PATH or a shell keyword."""
    lines = (line.split() for line in cell.splitlines() if line.strip() and not line.lstrip().startswith(("#", "%", "!")))
    first = next(lines, [""])[0]
    return first in SHELL_WORDS or (first.isidentifier() and shutil.which(first) is not None)
