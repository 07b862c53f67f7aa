"""Jupyter's programs without their slowest import: they work, and the import is really left out."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from meshcourse.core import lean_imports

pytestmark = pytest.mark.skipif(importlib.util.find_spec(lean_imports.SLOW) is None, reason="jsonschema has no slow part here")


def python(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


def test_program_runs_as_python_m_does_but_for_the_import() -> None:
    assert python(*lean_imports.module("papermill", "--version")).partition(" ")[0]
    shown = python(*lean_imports.module("timeit", "-n1", "-r1", "-s", "import nbformat, sys", f"print(sys.modules['{lean_imports.SLOW}'])"))
    assert shown.startswith("None")


def test_widgets_come_without_it_and_nothing_else_misses_it() -> None:
    code = f"import sys, meshcourse.widgets, nbformat; print('{lean_imports.SLOW}' in sys.modules); import {lean_imports.SLOW}"
    assert python(sys.executable, "-c", code) == "False"


def test_without_us_it_is_imported() -> None:
    """Otherwise the test above proves nothing."""
    assert python(sys.executable, "-c", f"import sys, nbformat; print('{lean_imports.SLOW}' in sys.modules)") == "True"
