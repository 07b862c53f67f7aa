"""How often each destination answered since the present rule is in force, and by which source.

Answers name a version in their body, which need not be the destination's name; the gateway's Envoy counts what it sent to each destination.
The answers are used, each at once, while all of them name destinations of the route and none more often than the gateway sent requests
there; otherwise the gateway's counts are used.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final

from meshcourse.traffic.results import Result

ENOUGH: Final = 10
"""Answers from which on it is judged whether they name destinations."""
STRAY: Final = 2
"""Difference of counts that is ignored: some answers are on their way while the gateway is read."""
SHOWN: Final = 240
"""Single answers that a figure shows at most."""
ANSWERS, GATEWAY = "the answers", "the gateway"


class Standing:
    """Counts since `begin`. `names` are the route's destinations."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.single: deque[tuple[float, str]] = deque(maxlen=SHOWN)
        """(time, destination) of the last answers that name a destination."""
        self._from = 0.0
        self._answers: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._asked = False
        self._strange = False
        self.answered = 0

    def rename(self, names: Iterable[str]) -> None:
        """The route has other destinations now."""
        self.names = tuple(names)
        self.restart()

    def restart(self) -> None:
        """New load: the counts and their source are unknown."""
        self._strange = False
        self.single.clear()
        self.begin(0.0)

    def begin(self, since: float) -> None:
        """A new rule is in force from `since` on, in seconds since the epoch: earlier requests do not count."""
        self._from, self.answered, self._asked = since, 0, False
        self._answers.clear()
        self._sent.clear()

    def add(self, result: Result, at: float) -> None:
        """Add an answer that came `at`."""
        if result.started < self._from or not result.status:
            return
        self.answered += 1
        if result.version:
            self._answers[result.version] += 1
            if result.version in self.names:
                self.single.append((at, result.version))

    @property
    def by_answers(self) -> dict[str, int]:
        """Counts by the answers so far."""
        return dict(self._answers)

    def sent(self, answered: Mapping[str, int], came: Mapping[str, int]) -> None:
        """The gateway has sent `came` since it was last read; before that, the counts by the answers were `answered`."""
        self._asked = True
        self._sent.update(came)
        more = (answered.get(name, 0) > self._sent[name] + STRAY for name in self.names if self._answers[name] >= answered.get(name, 0))
        self._strange |= any(more)

    @property
    def source(self) -> str:
        """Which source counts."""
        unnamed = self.answered >= ENOUGH and not (self._answers and set(self._answers) <= set(self.names))
        return GATEWAY if self._strange or unnamed else ANSWERS

    @property
    def counts(self) -> dict[str, int]:
        """How often each destination answered, or was sent a request; empty while unknown."""
        found = self._answers if self.source == ANSWERS else self._sent
        return {name: found[name] for name in self.names if found[name]}

    @property
    def doubt(self) -> str:
        """A note for the reader about the counts."""
        if self.source == ANSWERS:
            return ""
        if self._strange:
            return "The answers name other destinations than the gateway sent the requests to: the counts are what its Envoy sent to each."
        named = f"The answers name {', '.join(sorted(self._answers))}" if self._answers else "The answers name no version"
        if not self._asked:
            return f"{named}: their destinations are unknown, since the gateway's Envoy did not answer."
        if self.answered > ENOUGH and not any(self._sent.values()):
            why = f"None of the {self.answered:,} answers came from these destinations, by the gateway's count"
            return f"{why}: another route takes these requests, or none does. lab.inspector_panel() shows which."
        other = ", not these destinations" if self._answers else ""
        return f"{named}{other}: the counts are what the gateway's Envoy sent to each, for all clients."
