"""What an exercise is, and the list of all of them.

Comes in: an exercise's number, such as "5.1". Goes out: its title, its hints in order, and its check, a function of a Witness.
Who runs it: lab.check and lab.hint. A new exercise is a row in a chapter's `EXERCISES`; a new chapter is a row in `_CHAPTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from meshcourse.checks import outcome
from meshcourse.checks.expectations import Tally
from meshcourse.checks.outcome import Outcome
from meshcourse.core import errors
from meshcourse.mesh.arrival import Arrival

Json = dict[str, Any]


class Witness(Protocol):
    """What a check may look at: objects in the cluster, and requests that it sends now through the ingress gateway."""

    @property
    def namespace(self) -> str:
        """The namespace of the chapter."""
        ...

    def virtual_service(self, name: str) -> Json | None:
        """The VirtualService `name` of the chapter's namespace, or None."""
        ...

    def arrival(self) -> Arrival:
        """Wait until the gateway holds what the namespace describes; says what is missing when it does not come."""
        ...

    def ask(self, n: int, *, host: str, headers: Mapping[str, str] | None = None) -> Tally:
        """Send `n` requests to the ingress gateway and count who answered. Raises TrafficError when none can be sent."""
        ...


@dataclass(frozen=True)
class Exercise:
    """One exercise: `hints` go from a nudge to nearly the answer."""

    number: str
    title: str
    hints: tuple[str, ...]
    check: Callable[[Witness], Outcome]


def find(number: str, known: Mapping[str, Exercise]) -> Exercise:
    """The exercise `number`. Raises CourseError, naming those that there are, when there is none."""
    if number in known:
        return known[number]
    raise errors.CourseError(
        f"There is no exercise {number!r}.",
        why=f"the exercises are {', '.join(known)}",
        next=f'lab.check("{next(iter(known), "5.1")}")',
    )


def judge(exercise: Exercise, witness: Witness) -> Outcome:
    """Run the check. Trouble of the cluster's, whatever it is, becomes *cannot tell*: never the learner's fault, never a traceback."""
    try:
        return exercise.check(witness)
    except errors.MeshcourseError as error:
        why = f"{error.what} {error.why}".strip()
        return outcome.cannot_tell(exercise.number, why, error.next or "meshcourse status")
