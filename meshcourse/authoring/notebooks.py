"""The generator: notebooks/source/NN_topic.py (jupytext percent format) to notebooks/NN_topic.ipynb, byte for byte the same every time."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Final

import jupytext

from meshcourse.core import errors
from meshcourse.core.json_types import Json

EXERCISE: Final = "exercise"
SOLUTION: Final = "solution"
HEADLESS: Final = "headless"
PARAMETERS: Final = "parameters"
_RUN: Final = {
    PARAMETERS: """# For a run by machine: papermill puts another value into a cell below this one. A learner's notebook has no such cell.
backend = ""     # embedded, or existing: any cluster that KUBECONFIG and MESHCOURSE_INGRESS_URL name; empty: as the environment says""",
    HEADLESS: """from meshcourse import lab

lab.parametrise(backend=backend)""",
}
_IMPORT: Final = re.compile(r"^\s*(?:from|import)\s+.*$", re.MULTILINE)
_ALLOWED: Final = "from meshcourse import lab"
_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build(sources: Path, out: Path, *, solutions: bool = False, names: Collection[str] = ()) -> tuple[Path, ...]:
    """Write one notebook into `out` for each source in the folder `sources`, or for those of `names` only; returns their paths.

    Raises CourseError for a source that breaks the rules (see `notebook`), and for a name without a source.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for source in chosen(sources, "py", names):
        path = out / f"{source.stem}.ipynb"
        path.write_bytes(render(notebook(source.read_text(encoding="utf-8"), source.stem, solutions=solutions)))
        written.append(path)
    return tuple(written)


def chosen(folder: Path, ending: str, names: Collection[str]) -> tuple[Path, ...]:
    """The files of `folder` with this ending, in order: all, or those whose chapter is named (05, 05_canary, 5). Raises CourseError."""
    found = tuple(sorted(folder.glob(f"*.{ending}")))
    wanted = {name.removesuffix(f".{ending}").replace("-", "_") for name in names}

    def meant(path: Path) -> set[str]:
        number = path.stem.partition("_")[0]
        return {path.stem, number, number.lstrip("0") or "0"} & wanted

    unknown = wanted.difference(*(meant(path) for path in found))
    if unknown:
        known = ", ".join(path.stem for path in found)
        raise errors.CourseError(
            f"There is no notebook {', '.join(sorted(unknown))}.", why=f"there are {known}", next="leave the name out for all"
        )
    return tuple(path for path in found if not wanted or meant(path))


def check(sources: Path, out: Path) -> tuple[str, ...]:
    """What differs between the notebooks in `out` and those that `sources` make; empty when all is as generated."""
    expected = {source.stem: source for source in sorted(sources.glob("*.py"))}
    found = {path.stem: path for path in sorted(out.glob("*.ipynb"))}
    complaints = [f"{path.name} has no source" for stem, path in found.items() if stem not in expected]
    for stem, source in expected.items():
        made = render(notebook(source.read_text(encoding="utf-8"), stem, solutions=False))
        if stem not in found:
            complaints.append(f"{stem}.ipynb has not been generated")
        elif found[stem].read_bytes() != made:
            complaints.append(f"{stem}.ipynb is not what {source.name} makes")
    return tuple(complaints)


def render(content: Json) -> bytes:
    """A notebook as bytes. Our own call of json, so that no library's version changes a byte."""
    return (json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def notebook(text: str, stem: str, *, solutions: bool) -> Json:
    """The notebook that a source makes.

    Raises CourseError when the first code cell does not start the chapter, when a cell imports anything but lab, or when an exercise
    has no solution or a solution no exercise.
    """
    cells = list(jupytext.reads(text, fmt="py:percent").cells)
    _obey(cells, stem)
    left_out = {EXERCISE} if solutions else {SOLUTION, HEADLESS}
    hidden = {EXERCISE} if solutions else {EXERCISE, SOLUTION}
    kept = [cell for cell in cells if not left_out & set(_tags(cell))]
    if solutions:
        kept = [{"cell_type": "code", "source": text, "metadata": {"tags": [tag]}} for tag, text in _RUN.items()] + kept
    seen: Counter[str] = Counter()
    return {"cells": [_cell(cell, seen, hidden) for cell in kept], "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5}


def _cell(cell: Json, seen: Counter[str], hidden: set[str]) -> Json:
    source = str(cell["source"])
    digest = hashlib.sha256(f"{cell['cell_type']}\n{source}".encode()).hexdigest()[:12]
    seen[digest] += 1
    identity = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    tags = [tag for tag in _tags(cell) if tag not in hidden]
    made: Json = {
        "cell_type": cell["cell_type"],
        "id": identity,
        "metadata": {"tags": tags} if tags else {},
        "source": source.splitlines(keepends=True),
    }
    if cell["cell_type"] == "code":
        made |= {"execution_count": None, "outputs": []}
    return made


def _tags(cell: Json) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", ()))


def _obey(cells: list[Json], stem: str) -> None:
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if not code or "lab.chapter(" not in code[0]["source"]:
        raise _broken(stem, "its first code cell does not call lab.chapter(...)")
    for cell in code:
        strangers = [
            line.strip() for line in _IMPORT.findall(cell["source"]) if line.strip() != _ALLOWED and not cell["source"].startswith("%%")
        ]
        if strangers:
            raise _broken(stem, f"a cell has `{strangers[0]}`; notebooks import only lab")
    numbers = {tag: Counter(cell["metadata"].get("exercise") for cell in cells if tag in _tags(cell)) for tag in (EXERCISE, SOLUTION)}
    if None in numbers[EXERCISE] or None in numbers[SOLUTION]:
        raise _broken(stem, 'an exercise or solution cell does not say which (exercise="5.1")')
    unmatched = set(numbers[EXERCISE]) ^ set(numbers[SOLUTION])
    if unmatched:
        raise _broken(stem, f"{', '.join(sorted(map(str, unmatched)))} has an exercise cell or a solution cell but not both")


def _broken(stem: str, why: str) -> errors.CourseError:
    return errors.CourseError(
        f"notebooks/source/{stem}.py cannot become a notebook.",
        why=why,
        next=f"correct notebooks/source/{stem}.py and run `meshcourse notebooks`",
    )
