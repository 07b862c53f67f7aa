"""papermill and nbval as child processes: what they return, and that stopping leaves nothing behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import nbformat
import psutil
import pytest
from waiting import until

from meshcourse.authoring.execution import Execution
from meshcourse.core import errors

pytestmark = pytest.mark.slow

CHECKED = ("nbval-check-output",)
"""nbval compares the outputs of cells with this tag."""


def notebook(path: Path, *sources: str, tags: tuple[str, ...] = ()) -> Path:
    content = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content.cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]  # type: ignore[no-untyped-call]
    nbformat.write(content, path)  # type: ignore[no-untyped-call]
    return path


def test_executed_copy_holds_outputs_parameters_and_no_widget_state(tmp_path: Path) -> None:
    given = notebook(tmp_path / "a.ipynb", "seconds = 1", "import ipywidgets\nipywidgets.IntSlider()", "print(seconds * 2)")
    done, failure = Execution().papermill(given, tmp_path / "a.done.ipynb", os.environ, parameters={"seconds": "21"})
    assert failure == ""
    assert done["metadata"]["papermill"]["parameters"] == {"seconds": 21}
    assert "widgets" not in done["metadata"]
    assert done["cells"][0]["source"], "without a cell tagged so, papermill's parameters come first"
    assert [output["text"] for output in done["cells"][-1]["outputs"]] == [["2\n"]]


def test_failed_cell_is_told_and_the_copy_kept(tmp_path: Path) -> None:
    done, failure = Execution().papermill(notebook(tmp_path / "a.ipynb", "1 / 0", "2"), tmp_path / "a.done.ipynb", os.environ)
    assert "ZeroDivisionError" in failure
    assert "error" in [output["output_type"] for cell in done["cells"] for output in cell.get("outputs", ())]


def test_second_pass_compares_tagged_cells_numbers_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.done.ipynb"
    Execution().papermill(
        notebook(tmp_path / "a.ipynb", "import random\nprint('passed,', random.random(), 'seconds')", tags=CHECKED), path, os.environ
    )
    assert Execution().nbval(path, os.environ).code == 0
    path.write_text(path.read_text().replace("passed, ", "not yet, "))
    ended = Execution().nbval(path, os.environ)
    assert ended.code == 1
    assert "mismatch" in ended.output


def test_stopping_ends_kernel_and_its_children_and_lets_nothing_begin(tmp_path: Path) -> None:
    mark = tmp_path / "running"
    given = notebook(tmp_path / "a.ipynb", f"%%bash\necho $$ > {mark}\nsleep 300")
    execution = Execution()
    thread = threading.Thread(target=lambda: execution.papermill(given, tmp_path / "a.done.ipynb", os.environ))
    thread.start()
    until(lambda: mark.exists() and mark.read_text().strip(), within=60.0)
    shell = psutil.Process(int(mark.read_text()))
    family = [shell, *shell.parents()[:2], *shell.children()]
    execution.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert [each for each in alive if each.pid != os.getpid()] == []
    with pytest.raises(errors.CourseError, match="stopped"):
        execution.papermill(given, tmp_path / "b.done.ipynb", os.environ)
