"""The chapters: what each needs from the cluster, and where its files lie.

Comes in: a chapter's key, such as "05-canary". Goes out: a Chapter. Who runs it: lab.chapter, the generator, the tests.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core import errors


@dataclass(frozen=True)
class Chapter:
    """One chapter. `namespace` is where its objects live; `profile` is the Istio profile that it needs."""

    key: str
    title: str
    namespace: str
    profile: str = "demo"
    exercise_services: tuple[str, ...] = ()
    """VirtualServices that the exercises ask for."""

    @property
    def number(self) -> int:
        """5 for "05-canary"."""
        return int(self.key.partition("-")[0])

    @property
    def stem(self) -> str:
        """The name of its files: `05_canary` for "05-canary"."""
        return self.key.replace("-", "_")


CHAPTERS: Final = {
    chapter.key: chapter for chapter in (Chapter("05-canary", "Canary releases", "canary", exercise_services=("shop", "club")),)
}


def find(key: str) -> Chapter:
    """The chapter `key`. Raises CourseError, naming those that there are, when there is none."""
    if key in CHAPTERS:
        return CHAPTERS[key]
    known = ", ".join(CHAPTERS)
    raise errors.CourseError(
        f"There is no chapter {key!r}.", why=f"the chapters are {known}", next=f'lab.chapter("{next(iter(CHAPTERS))}")'
    )


def folder(holding: str = "manifests") -> Path:
    """The course's folder that has `holding` in it: the current one, the checkout's, or the installed package's.

    A learner's own copy of the notebooks has the manifests, but not the sources. Raises CourseError when there is none.
    """
    places = (
        Path.cwd(),
        Path.cwd() / "notebooks",
        Path(__file__).resolve().parents[2] / "notebooks",
        Path(sys.prefix) / "share" / "meshcourse" / "notebooks",
    )
    for place in places:
        if (place / holding).is_dir():
            return place
    raise errors.CourseError(
        f"The course's {holding} are not here.",
        why=f"there is no folder `{holding}` in {', '.join(map(str, places))}",
        next="open the notebook from the course's notebooks folder: meshcourse lab",
    )
