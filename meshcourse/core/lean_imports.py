"""Python programs of the Jupyter world started without their slowest import.

jsonschema, which nbformat loads and with it JupyterLab, papermill, nbval and plotly's FigureWidget, builds 39 parsers for international
web addresses (`rfc3987_syntax`) whenever that package is installed: seconds of a processor for a check that no notebook schema asks for.
Without the package jsonschema leaves that one check out, as its documentation says of all its format checkers.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Final

SLOW: Final = "rfc3987_syntax"
_RUN: Final = (
    f"import runpy, sys; sys.modules['{SLOW}'] = None; sys.argv[:1] = []; sys.path[:1] = [] if sys.path[0] == '' else sys.path[:1]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def module(name: str, *words: str) -> list[str]:
    """What to start for `python -m NAME WORDS`."""
    return [sys.executable, "-c", _RUN, name, *words]


def import_schemas() -> None:
    """Import jsonschema into this process without its slow part, if nothing has imported it yet."""
    if SLOW in sys.modules or "jsonschema" in sys.modules:
        return
    sys.modules[SLOW] = None  # type: ignore[assignment]  # Python's way of saying "not installed"
    with contextlib.suppress(ImportError):
        importlib.import_module("jsonschema")
    del sys.modules[SLOW]
