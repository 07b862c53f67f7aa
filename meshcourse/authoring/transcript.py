"""What an executed notebook shows: its checks' verdicts, how long its cells took, and outputs that a learner should not see."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meshcourse.checks.outcome import Verdict
from meshcourse.core.json_types import JsonMapping

SCREEN: Final = 45
"""How many lines one cell may print: more than that scrolls off the screen."""
FIRST_CELL: Final = 15.0
"""How long a chapter's first cell may take, in seconds."""
_CHECK: Final = re.compile(r"""lab\.check\(\s*["'](\d+\.\d+)["']\s*\)""")
_WARNING: Final = re.compile(r"\b[A-Z]\w*Warning: ")
_HEAD: Final = re.compile(r"Exercise (\d+\.\d+): (.+)")


class Variant(enum.Enum):
    """Which copy of a chapter is executed."""

    UNTOUCHED = "untouched"
    """As the learner gets it: every check must say *not attempted*."""
    SOLVED = "solved"
    """With the solutions: every check must say *passed*."""

    @property
    def verdict(self) -> Verdict:
        """The required verdict of every check."""
        return Verdict.PASSED if self is Variant.SOLVED else Verdict.NOT_ATTEMPTED


@dataclass(frozen=True)
class Reading:
    """One executed notebook. Times in seconds; `slowest_check` is the longest check's, 0 when there is none."""

    verdicts: Mapping[str, str]
    seconds: float
    first_cell: float
    slowest_check: float
    complaints: tuple[str, ...]


def read(notebook: JsonMapping, variant: Variant) -> Reading:
    """The transcript of `notebook`, executed as `variant`."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    start = next((cell for cell in code if "lab.chapter(" in source(cell)), None)
    checks = [(cell, found[1]) for cell in code if (found := _CHECK.search(source(cell)))]
    verdicts = {number: _verdict(cell) for cell, number in checks}
    first = duration(start) if start else 0.0
    complaints = [
        f"exercise {number}: {said or 'its check printed nothing'}, where {variant.verdict.value!r} is wanted"
        for number, said in verdicts.items()
        if said != variant.verdict.value
    ]
    if first > FIRST_CELL:
        complaints.append(f"the first cell took {first:.1f} s; {FIRST_CELL:.0f} s is the limit")
    complaints += [complaint for cell in code for complaint in _faults(cell)]
    return Reading(verdicts, sum(map(duration, code)), first, max((duration(cell) for cell, _ in checks), default=0.0), tuple(complaints))


def source(cell: JsonMapping) -> str:
    """A cell's text."""
    return "".join(cell["source"])


def duration(cell: JsonMapping) -> float:
    """How long a cell took, as papermill noted it; 0 for a cell that was not reached."""
    return float(cell.get("metadata", {}).get("papermill", {}).get("duration") or 0.0)


def text(output: JsonMapping) -> str:
    """An output as text: a stream, a result's plain text, or an error's message."""
    if output["output_type"] == "stream":
        return "".join(output["text"])
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    return "".join(output.get("data", {}).get("text/plain", ""))


def _verdict(cell: JsonMapping) -> str:
    said = _HEAD.search("\n".join(map(text, cell["outputs"])))
    return said[2].strip() if said else ""


def _faults(cell: JsonMapping) -> Iterator[str]:
    name = source(cell).strip().splitlines()[0] if source(cell).strip() else "an empty cell"
    if name.startswith("%%"):
        name = " / ".join(source(cell).strip().splitlines()[:2])
    outputs = cell["outputs"]
    errors = "".join(text(output) for output in outputs if output.get("name") == "stderr").strip()
    others = "".join(text(output) for output in outputs if output.get("name") != "stderr")
    failed = next((text(output) for output in outputs if output["output_type"] == "error"), "")
    if failed:
        yield f"`{name}` failed: {_short(failed)}"
    if errors:
        yield f"`{name}` writes to stderr (in a shell cell, 2>&1 where it is meant): {_short(errors)}"
    if _WARNING.search(others):
        yield f"`{name}` shows a warning: {_short(others)}"
    if any("<style" in "".join(output.get("data", {}).get("text/html", "")) for output in outputs):
        yield f"`{name}` brings a <style> with it: it holds for the whole page, other notebooks' figures included"
    lines = len((errors + others).splitlines())
    if lines > SCREEN:
        yield f"`{name}` prints {lines} lines; {SCREEN} fit on a screen"


def _short(said: str, limit: int = 200) -> str:
    line = " / ".join(line.strip() for line in said.splitlines() if line.strip())
    return line if len(line) <= limit else line[: limit - 3] + "..."
