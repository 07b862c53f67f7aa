"""The plan of the day: lines such as `1:35 break`, each with the time since the start, and when the class started."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tornado import web

from meshcourse.core import files
from meshcourse.core.errors import CourseError
from meshcourse.workshop import record
from meshcourse.workshop.board.handler import InstructorHandler

PLANS: Final = Path(__file__).parent / "plans"
"""The plans of INSTRUCTOR.md."""
LONGEST: Final = 10_000
_LINE: Final = re.compile(r"(\d{1,2}):([0-5]\d)\s+(\S.*)")


@dataclass(frozen=True)
class Item:
    """What begins `minute` minutes after the start."""

    minute: int
    text: str


@dataclass(frozen=True)
class Timetable:
    """A plan as it was typed; `started` is empty until the class starts."""

    text: str = ""
    started: str = ""


def parse(text: str) -> tuple[Item, ...]:
    """The plan's items. Raises CourseError for a line that is none, and for times that go back."""
    found: list[Item] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise CourseError(f"Line {number} of the plan has no time: {line.strip()[:60]!r}.", next="write it as 1:35 break")
        item = Item(int(match[1]) * 60 + int(match[2]), match[3])
        if found and item.minute <= found[-1].minute:
            raise CourseError(f"Line {number} of the plan is not later than the line before.", next="order the lines by time")
        found.append(item)
    return tuple(found)


def read() -> Timetable:
    """The plan that was chosen."""
    try:
        return Timetable(**json.loads(_file().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Timetable()


def _file() -> Path:
    return record.folder() / "timetable.json"


def shown() -> dict[str, Any]:
    """For the board's page."""
    found = read()
    return {"started": found.started, "items": [asdict(each) for each in parse(found.text)]}


class Plan(InstructorHandler):
    """POST {"text": ...} starts a plan, {"later": minutes} moves the rest of it, {} ends it."""

    @web.authenticated
    def post(self) -> None:
        """400 with the reason for a plan that is none."""
        given, now = json.loads(self.request.body or b"{}"), read()
        try:
            if "text" in given:
                text = str(given["text"])[:LONGEST]
                parse(text)
                now = Timetable(text, datetime.now(UTC).isoformat(timespec="seconds"))
            elif "later" in given and now.started:
                moved = datetime.fromisoformat(now.started) + timedelta(minutes=float(given["later"]))
                now = Timetable(now.text, moved.isoformat(timespec="seconds"))
            else:
                now = Timetable(now.text)
        except CourseError as error:
            self.set_status(400)
            self.finish(f"{error.what} Next: {error.next}")
            return
        files.replace(_file(), json.dumps(asdict(now), ensure_ascii=False))
        self.set_status(204)
