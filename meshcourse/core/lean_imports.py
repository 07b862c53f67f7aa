"""Start Jupyter's programs without their slowest import.

nbformat loads jsonschema, and so do JupyterLab, papermill and nbval. It builds 39 parsers for international web addresses whenever the
package `rfc3987_syntax` is installed: seconds of CPU time for a check that no notebook schema uses. Without that package jsonschema skips
the check, as its documentation says of all format checkers.
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


def module(name: str, *arguments: str) -> list[str]:
    """The command for `python -m NAME ARGUMENTS`."""
    return [sys.executable, "-c", _RUN, name, *arguments]


def import_schemas() -> None:
    """Import jsonschema into this process without its slow part, unless it is imported already."""
    if SLOW in sys.modules or "jsonschema" in sys.modules:
        return
    sys.modules[SLOW] = None  # type: ignore[assignment]  # Python's way of saying "not installed"
    with contextlib.suppress(ImportError):
        importlib.import_module("jsonschema")
    del sys.modules[SLOW]
