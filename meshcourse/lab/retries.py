"""How often requests are tried: lab.attempts, lab.with_retries, lab.amplification.

The service itself reports which attempt an answer comes from: Envoy sets `x-envoy-attempt-count` in each request, and the chapter's nginx
returns it as `x-attempt`. How many requests reached each hop is counted by that hop's proxy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshcourse.core import background, tables
from meshcourse.lab import session
from meshcourse.lab.output import Sentence
from meshcourse.lab.requests import IN_FLIGHT
from meshcourse.measure import binomial, labels, retries
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target

HEADER: Final = "x-attempt"


@dataclass(frozen=True)
class Attempts:
    """Requests counted by (status or fault, attempt); attempt 0: unknown, since a proxy answered and not the service."""

    counts: Mapping[tuple[str, int], int]
    seconds: float
    slowest: float

    @property
    def n(self) -> int:
        """All requests."""
        return sum(self.counts.values())

    @property
    def answered_well(self) -> binomial.Share:
        """The share answered below 400, with its 95 % band."""
        return binomial.observed(sum(count for (code, _), count in self.counts.items() if code.startswith(("2", "3"))), self.n)

    @property
    def tries(self) -> float:
        """Tries per request, over those with a known attempt; 0 when there is none. The others may have been tried more often."""
        told = {attempt: count for (_, attempt), count in self.counts.items() if attempt}
        return sum(attempt * count for attempt, count in told.items()) / sum(told.values()) if told else 0.0

    def __repr__(self) -> str:
        lines = tables.shares([(_words(code, attempt), count) for (code, attempt), count in sorted(self.counts.items())], self.n)
        good = self.answered_well
        last = f"  answered well: {good.share:.1%} (95 % band {good.low:.1%} to {good.high:.1%})"
        untold = sum(count for (_, attempt), count in self.counts.items() if not attempt)
        if self.tries and not untold:
            last += f"; {self.tries:.2f} tries per request"
        elif self.tries:
            last += f"; {self.tries:.2f} tries per request among the {self.n - untold:,} that the service answered\n"
            last += f"  {untold:,} got their answer from a proxy, which does not report its tries: possibly the most of all"
        return "\n".join([f"{self.n:,} requests in {self.seconds:.1f} s, the slowest took {self.slowest:.2f} s", *lines, last])


def _words(code: str, attempt: int) -> str:
    return f"{code} on attempt {attempt}" if attempt else f"{code}, attempt unknown"


def attempts(n: int = 100, *, path: str = "/", host: str = "store.example.com") -> Attempts:
    """Send `n` requests to the ingress gateway and count them by status and by the attempt that was answered."""
    started = time.monotonic()
    found = _send(n, _target(path, host))
    counted = Counter((result.code, int(result.version) if result.version.isdigit() else 0) for result in found)
    return Attempts(counted, time.monotonic() - started, max(result.latency for result in found))


def with_retries(fail: float, attempts: int, *, n: int = 200) -> Sentence:
    """The formula's result when each try fails with probability `fail` (0 to 1) and `attempts` retries follow the first try."""
    tries = attempts + 1
    success = retries.success(fail, attempts)
    band = binomial.accepted(n, success)
    return Sentence(
        f"{tries} tries, each failing with probability {fail:g}: 1 - {fail:g}^{tries} = {success:.1%} of requests succeed; "
        f"of {n} that is {band.low} to {band.high}, within chance"
    )


@dataclass(frozen=True)
class Amplification:
    """How many requests reached each hop because of `n` that users sent."""

    n: int
    codes: Mapping[str, int]
    hops: Mapping[str, int]

    def __repr__(self) -> str:
        answers = ", ".join(f"{count} × {code}" for code, count in sorted(self.codes.items()))  # noqa: RUF001 - times
        most = max(self.n, *self.hops.values())
        rows = [
            (name, f"{count:>5,}", f"×{count / self.n:<5.3g}", tables.bar(count / most))  # noqa: RUF001 - times
            for name, count in (("users", self.n), *self.hops.items())
        ]
        return "\n".join([f"answers: {answers}; requests that arrived at each hop:", *tables.columns(rows, "  ")])


def amplification(
    n: int = 1, *, path: str, host: str = "chain.example.com", hops: Sequence[str] = ("front", "middle", "back")
) -> Amplification:
    """Send `n` requests and count, in the proxy of each Deployment of `hops`, how many requests arrived there.

    Raises CourseError when a proxy does not keep that counter, KubernetesError when there is no such Deployment.
    """
    begun = session.current()
    before = {hop: retries.arrived(begun.connection, begun.namespace, hop) for hop in hops}
    found = _send(n, _target(path, host))
    after = {hop: retries.arrived(begun.connection, begun.namespace, hop) for hop in hops}
    return Amplification(n, Counter(result.code for result in found), {hop: after[hop] - before[hop] for hop in hops})


def _send(n: int, target: Target) -> tuple[Result, ...]:
    return background.run(sender.send(target, pacing.closed(requests=n), label=labels.header(HEADER), in_flight=min(IN_FLIGHT, n)))


def _target(path: str, host: str) -> Target:
    return Target(f"{session.current().connection.ingress_url}/{path.lstrip('/')}", host=host)
