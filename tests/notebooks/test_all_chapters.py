"""Every chapter from its first cell to its last, on a real cluster: as the learner gets it, and solved.

Each day another third of the solved ones is executed once more by nbval, which wants the same outputs again (conftest.compared).

A new chapter is tested by being in notebooks/source. What is wrong comes as the run's complaints: a check's verdict, output on stderr, a
warning, a cell of more than a screen, a slow first cell, something left in the cluster or taken from it, another output the second time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from meshcourse.authoring import notebooks
from meshcourse.authoring.rehearsal import Run, of
from meshcourse.authoring.transcript import Variant
from meshcourse.checks import chapters

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
STEMS = [path.stem for path in notebooks.chosen(NOTEBOOKS / "source", "py", ())]


@pytest.mark.parametrize("variant", list(Variant), ids=lambda variant: variant.value)
@pytest.mark.parametrize("stem", STEMS)
def test_chapter(performed: Callable[[str, Variant], Run], stem: str, variant: Variant) -> None:
    run = performed(stem, variant)
    assert run.complaints == ()
    exercises = {number for number in chapters.EXERCISES if int(number.partition(".")[0]) == of(stem).number}
    assert set(run.reading.verdicts) == exercises
    done = nbformat.read(run.path, as_version=4)  # type: ignore[no-untyped-call]
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code), "every cell was executed"
    if variant is Variant.UNTOUCHED:
        assert run.path.with_name(f"{stem}.ipynb").read_bytes() == (NOTEBOOKS / f"{stem}.ipynb").read_bytes()
