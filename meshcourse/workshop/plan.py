"""Which machine a workshop needs, from figures that were measured. They say what they are of, and nothing is made up between them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.workshop import record

GB: Final = 1e9


@dataclass(frozen=True)
class Figures:
    """Measured with two learners and more on two cores: bytes at rest, and seconds of one core."""

    hub: float
    """Hub, proxy and board."""
    learner: float
    """A place with its notebook open, and the chapter's pods."""
    start: float
    """From the log-in to the notebook, when nobody else starts."""
    rate: float = 0.0


EMBEDDED: Final = Figures(hub=0.3 * GB, learner=1.6 * GB, start=16.0)
EXISTING: Final = Figures(hub=0.3 * GB, learner=0.4 * GB, start=8.0)


@dataclass(frozen=True)
class Need:
    """What `learners` need, and what this machine has."""

    learners: int
    memory: float
    all_started: float
    has_memory: float
    cores: int

    @property
    def fits(self) -> bool:
        """Whether this machine's free memory is enough."""
        return self.memory <= self.has_memory

    @property
    def most(self) -> int:
        """How many this machine's free memory would do for, at this need for each."""
        return int(self.learners * self.has_memory / self.memory) if self.memory else 0


def need(learners: int, on: str, *, cores: int, has_memory: float) -> Need:
    """For `learners` on a machine with that many cores and bytes free: starts go `max(2, cores)` at a time and share the cores."""
    figures = EXISTING if on == record.EXISTING else EMBEDDED
    rounds = -(-learners // max(2, cores))
    return Need(learners, figures.hub + learners * figures.learner, rounds * figures.start, has_memory, cores)


def here(learners: int, on: str) -> Need:
    """On this machine."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    return need(learners, on, cores=os.cpu_count() or 1, has_memory=available)
