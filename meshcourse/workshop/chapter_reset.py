"""Put a chapter back to its beginning: a program that the learner's own server runs for the board, in the learner's sandbox."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from meshcourse.checks import chapters as registry
from meshcourse.core import errors, paths
from meshcourse.course import chapters, passed
from meshcourse.course.chapters import Chapter
from meshcourse.jupyterlab import workbook
from meshcourse.lab import addresses, cleanup, output, start
from meshcourse.workshop import singleuser


def notebook(chapter: Chapter, own: Path) -> str:
    """Write the chapter's notebook again; returns the name of the copy of the learner's work, empty when there was none."""
    path, copy = own / f"{chapter.stem}.ipynb", ""
    if path.exists():
        beside = path.with_name(f"{chapter.stem}.before-{datetime.now(UTC):%Y%m%d-%H%M%S}.ipynb")
        path.rename(beside)
        copy = beside.name
    link = os.environ.get(addresses.VARIABLE, "/")
    workbook.lay(_course(), own, lambda name, content: singleuser.adapted(name, content, link))
    return copy


def _course() -> Path:
    """The course's own folder, not the learner's copy in which this runs."""
    here = Path.cwd()
    os.chdir("/")
    try:
        return chapters.folder()
    finally:
        os.chdir(here)


def main(action: str, key: str) -> None:
    """`reset` or `catch-up`."""
    chapter, own = chapters.find(key), paths.state() / "notebooks"
    copy = notebook(chapter, own)
    if copy:
        output.say(f"the notebook as it was is {copy}")
    start.chapter(chapter.key)
    if action == "reset":
        cleanup.clean_up()
        numbers = frozenset(each for each in registry.EXERCISES if int(each.partition(".")[0]) == chapter.number)
        passed.forget(numbers, frozenset({chapter.key}))
    start.chapter(chapter.key)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except errors.MeshcourseError as error:
        output.say(str(error))
        sys.exit(1)
