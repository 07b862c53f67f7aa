"""What an exercise is, and what its check may use.

A new exercise is a row in its chapter's `EXERCISES`; checks/chapters lists the chapters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from meshcourse.checks.outcome import Outcome
from meshcourse.core import errors
from meshcourse.core.json_types import Json
from meshcourse.kube.commands import Completed
from meshcourse.kube.connection import Connection
from meshcourse.measure.access_logs import Entry
from meshcourse.measure.tally import Tally
from meshcourse.mesh.propagation import Arrival
from meshcourse.traffic.results import Result


class ClusterView(Protocol):
    """What a check may use: objects in the cluster, what proxies hold and count, and requests that it sends now."""

    @property
    def connection(self) -> Connection:
        """The cluster, for functions of meshcourse.mesh."""
        ...

    @property
    def namespace(self) -> str:
        """The namespace of the chapter."""
        ...

    def object(self, kind: str, name: str, *, namespace: str = "") -> Json | None:
        """The object `name` ("virtualservice", "shop") of the chapter's namespace, or None."""
        ...

    def objects(self, kind: str, *, selector: str = "", namespace: str = "") -> list[Json]:
        """All objects of a kind in the chapter's namespace that have the labels of `selector`; `*` means every namespace.

        Several kinds with commas between are read by one call.
        """
        ...

    def virtual_service(self, name: str) -> Json | None:
        """The VirtualService `name` of the chapter's namespace, or None."""
        ...

    def arrival(self) -> Arrival:
        """Wait until the proxies hold the namespace's objects; names what is missing if they do not."""
        ...

    def ask(self, n: int, *, host: str, headers: Mapping[str, str] | None = None) -> Tally:
        """Send `n` requests to the ingress gateway and count the answers by version. Raises TrafficError when none can be sent."""
        ...

    def send(
        self, n: int, *, host: str = "", path: str = "/", headers: Mapping[str, str] | None = None, at_once: int = 8
    ) -> tuple[Result, ...]:
        """Send `n` requests to the ingress gateway, `at_once` at a time; one Result for each. Raises as `ask`."""
        ...

    def run(self, *arguments: str, timeout: float = 60.0) -> Completed:
        """Run kubectl or istioctl in the chapter's namespace: `run("kubectl", "exec", "deploy/web", "--", "id")`."""
        ...

    def stats(self, workload: str, *containing: str, namespace: str = "") -> dict[str, int]:
        """Counters and gauges of a workload's proxy ("deploy/fortio-deploy") whose names contain all of `containing`."""
        ...

    def log(self, workload: str, *, containing: str = "", namespace: str = "") -> tuple[Entry, ...]:
        """Entries of a workload's access log that contain `containing`; the newest may be a second late."""
        ...

    def answer(self, number: str) -> str:
        """What the learner passed to lab.answer for exercise `number`; empty when nothing."""
        ...


@dataclass(frozen=True)
class Exercise:
    """One exercise: `hints` go from general to nearly the answer; `watches` is the duration in seconds of a check that takes over five.

    `objects` are those that the learner writes, as `kind/name`: a manifest that names one of them is an answer to this exercise. `needs`
    are the Deployments of the chapter that must have a ready pod before anything can be judged, as `name` or `namespace/name`. `counts`:
    the check counts requests at pods, so panels' load pauses during it.
    """

    number: str
    title: str
    hints: tuple[str, ...]
    check: Callable[[ClusterView], Outcome]
    objects: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    watches: float = 0.0
    counts: bool = False


def find(number: str | float, known: Mapping[str, Exercise]) -> Exercise:
    """The exercise `number`, with or without quotes (5.1 too). Raises CourseError, with a list of the numbers, when there is none."""
    if str(number) in known:
        return known[str(number)]
    raise errors.CourseError(
        f"There is no exercise {number!r}.",
        why=f"the exercises are {', '.join(known)}",
        next=f'lab.check("{next(iter(known), "5.1")}")',
    )
