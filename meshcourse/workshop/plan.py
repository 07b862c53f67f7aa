"""How much memory a workshop needs, from figures that were measured; how long starts take is not computed: nobody has measured thirty."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.workshop import record

GB: Final = 1e9


@dataclass(frozen=True)
class Figures:
    """Bytes (Pss) measured on two cores with two learners."""

    hub: float
    """Hub, proxy and board."""
    learner: float
    """A learner's JupyterLab with a notebook's kernel and, where it is theirs, the cluster with Istio and Bookinfo."""


EMBEDDED: Final = Figures(hub=0.3 * GB, learner=1.5 * GB)
EXISTING: Final = Figures(hub=0.3 * GB, learner=0.4 * GB)
"""JupyterLab and a kernel, rounded up; what the pods take on the shared cluster is in docs/classroom.md."""


@dataclass(frozen=True)
class Need:
    """What `learners` need, and what this machine has."""

    learners: int
    memory: float
    has_memory: float
    at_once: int
    """How many servers start at the same time."""

    @property
    def fits(self) -> bool:
        """Whether this machine's free memory is enough."""
        return self.memory <= self.has_memory

    @property
    def most(self) -> int:
        """How many this machine's free memory would do for, at this need for each."""
        return int(self.learners * self.has_memory / self.memory) if self.memory else 0


def need(learners: int, on: str, *, cores: int, has_memory: float) -> Need:
    """For `learners` on a machine with that many cores and bytes free."""
    figures = EXISTING if on == record.EXISTING else EMBEDDED
    return Need(learners, figures.hub + learners * figures.learner, has_memory, max(2, cores))


def here(learners: int, on: str) -> Need:
    """On this machine."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    return need(learners, on, cores=os.cpu_count() or 1, has_memory=available)
