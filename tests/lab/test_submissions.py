"""What a kernel remembers of cells: a cell of commands that changes the cluster and fails is a refused answer."""

from __future__ import annotations

from collections.abc import Iterator
from subprocess import CalledProcessError
from types import SimpleNamespace

import pytest

from meshcourse.checks.chapters import EXERCISES
from meshcourse.core import errors
from meshcourse.lab import submissions

APPLY = "%%bash\nkubectl apply -f - <<END\nkind: VirtualService\nmetadata:\n  name: shop\nEND\n"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    submissions.MADE._every = []


def ran(cell: str, error: Exception | None = None) -> None:
    submissions._after_cell(SimpleNamespace(info=SimpleNamespace(raw_cell=cell), error_in_exec=error))


@pytest.mark.parametrize("error", [CalledProcessError(1, "bash"), errors.CourseError("The last command failed.")])
def test_a_cell_that_applies_and_fails_is_a_refused_answer(error: Exception) -> None:
    ran(APPLY, error)
    refused = submissions.MADE.pending(EXERCISES["5.1"], EXERCISES)
    assert refused is not None
    assert refused.what == "cell of commands"
    assert submissions.MADE.pending(EXERCISES["5.2"], EXERCISES) is None


def test_a_cell_that_applies_and_ends_well_takes_the_refusal_away() -> None:
    ran(APPLY, CalledProcessError(1, "bash"))
    ran(APPLY)
    assert submissions.MADE.pending(EXERCISES["5.1"], EXERCISES) is None


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("%%bash\nkubectl get pods", CalledProcessError(1, "bash")),
        ("lab.check('5.1')", None),
        ("1/0", ZeroDivisionError()),
        ("%%bash\nfalse", CalledProcessError(1, "bash")),
        ("", None),
    ],
)
def test_a_cell_that_only_looks_is_no_answer(cell: str, error: Exception | None) -> None:
    ran(cell, error)
    assert submissions.MADE.pending(EXERCISES["5.1"], EXERCISES) is None


@pytest.mark.parametrize(
    "line", ["kubectl scale deployment web --replicas=0", "istioctl install -y", "kubectl -n x patch service a -p '{}'"]
)
def test_every_command_that_changes_something_counts(line: str) -> None:
    ran(f"%%bash\n{line}", CalledProcessError(1, "bash"))
    assert submissions.MADE.pending(EXERCISES["5.1"], EXERCISES) is not None


def test_outside_a_notebook_nothing_is_watched() -> None:
    submissions.watch_cells()
