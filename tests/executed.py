"""Reads executed notebooks: what their cells show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def shown(notebook: Any, source: str) -> list[str]:
    """What each cell whose source begins with `source` shows, as text."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(source)]
    return ["".join(str(each.get("text") or each.get("data", {}).get("text/plain", "")) for each in cell.outputs) for cell in cells]
