"""Compares output with a file that a person has reviewed. After a wanted change: MESHCOURSE_GOLDEN=write pytest, then read the diff."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "widgets" / "golden"


def as_reviewed(name: str, made: str) -> None:
    """Compare text with the golden file of that name, or write it there."""
    path = FOLDER / name
    if os.environ.get("MESHCOURSE_GOLDEN") == "write":
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def figure_as_reviewed(name: str, figure: dict[str, Any]) -> None:
    """Compare a figure with the golden file NAME.json."""
    as_reviewed(f"{name}.json", json.dumps(figure, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
