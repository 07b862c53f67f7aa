"""Shell cells in a real kernel: a failure is shown without a Python traceback, and shell lines in a Python cell get their hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from meshcourse.lab import bash_cells


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute("from meshcourse.lab import bash_cells\nbash_cells.register()\nbash_cells.register()")
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(kernel: Any, code: str) -> tuple[str, str]:
    """What a cell printed, and what it showed as its error."""
    printed, error = [], []

    def hear(message: Any) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
        elif message["msg_type"] == "error":
            error.extend(message["content"]["traceback"])

    kernel.execute_interactive(code, output_hook=hear, timeout=30)
    return "".join(printed), "\n".join(error)


def test_a_failed_command_shows_its_own_words_and_no_traceback(kernel: Any) -> None:
    printed, error = run(kernel, "%%bash\necho above\necho 'the reason' >&2\nexit 3")
    assert "above" in printed
    assert "the reason" in printed
    assert error == "The last command failed (exit code 3).\nWhy: the lines above say why"


def test_an_unknown_command_is_told_as_one(kernel: Any) -> None:
    printed, error = run(kernel, "%%bash\nkubeclt get pods")
    assert "kubeclt" in printed
    assert "A command was not found." in error
    assert "CalledProcessError" not in error


def test_a_cell_that_succeeds_shows_nothing_more(kernel: Any) -> None:
    assert run(kernel, "%%bash\necho fine") == ("fine\n", "")


def test_output_can_still_be_caught_as_ipython_documents_it(kernel: Any) -> None:
    run(kernel, "%%bash --out caught\necho kept")
    assert run(kernel, "print(caught)")[0].strip() == "kept"


@pytest.mark.parametrize("cell", ["for i in 1 2 3; do echo $i; done", "# a remark\ncat /etc/hostname | head -1", "export A=1"])
def test_shell_lines_in_a_python_cell_get_a_hint(kernel: Any, cell: str) -> None:
    printed, error = run(kernel, cell)
    assert "Then the cell's first line must be: %%bash" in printed, (printed, error)


@pytest.mark.parametrize("line", ["x = = 1", "undefined_name", "print(", "lab.wait()"])
def test_mistakes_in_python_are_shown_as_ever(kernel: Any, line: str) -> None:
    printed, error = run(kernel, line)
    assert "%%bash" not in printed
    assert "Error" in error or "Error" in printed


def test_what_looks_like_shell() -> None:
    assert bash_cells.looks_like_shell("# my command\ncat /etc/hosts")
    assert bash_cells.looks_like_shell("for n in a b; do echo $n; done")
    assert not bash_cells.looks_like_shell("lab.wait()")
    assert not bash_cells.looks_like_shell("")
