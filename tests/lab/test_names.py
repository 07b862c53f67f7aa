"""Texts name only what exists: every `lab.x` in docstrings, messages and pages is a call of lab or one of its modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from meshcourse import lab

ROOT = Path(__file__).parents[2]
PAGES = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks/source").glob("*.*"), *(ROOT / "meshcourse").rglob("*.py"))
KNOWN = {*lab.__all__, *(path.stem for path in (ROOT / "meshcourse/lab").glob("*.py"))}
NAMED = re.compile(r"(?<![\w./-])lab\.([a-z]\w*)(?![\w/-])")


def texts(path: Path) -> list[str]:
    if path.suffix != ".py" or "notebooks" in path.parts:
        return [path.read_text(encoding="utf-8")]
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_every_call_of_lab_that_a_text_names_exists() -> None:
    named = {path: {name for text in texts(path) for name in NAMED.findall(text)} for path in PAGES}
    assert sum(map(len, named.values())) > 100
    assert not {str(path.relative_to(ROOT)): names - KNOWN for path, names in named.items() if names - KNOWN}
