"""Requests to the ingress gateway from a notebook: lab.request, lab.traffic, and the limits of chance.

They are sent by meshcourse.traffic; nothing is kept between calls.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass

from meshcourse.core import background, tables
from meshcourse.lab import session
from meshcourse.lab.output import Sentence
from meshcourse.measure import binomial, labels
from meshcourse.measure import tally as expectations
from meshcourse.measure.tally import Tally
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target

IN_FLIGHT = 8


@dataclass(frozen=True)
class Answer:
    """One answer: when none came, `status` is 0 and `body` says why."""

    command: str
    status: int
    headers: Mapping[str, str]
    body: str
    seconds: float

    def __repr__(self) -> str:
        first = f"HTTP {self.status}" if self.status else "no answer"
        server = f", server: {self.headers['server']}" if "server" in self.headers else ""
        lines = [f"$ {self.command}", f"{first}{server}, {self.seconds * 1000:.0f} ms", *self.body.strip().splitlines()]
        return "\n".join(lines)


def request(
    path: str = "/",
    *,
    host: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
) -> Answer:
    """Send one GET to the ingress gateway and show the equivalent curl command and the answer.

    Raises TrafficError for what cannot be sent (a header with a line break, for example).
    """
    target = _target(path, host, headers, cookies)
    caught: list[tuple[Mapping[str, str], bytes]] = []

    def catch(status: int, found: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001 - a Labeller
        caught.append((found, body))
        return ""

    (result,) = background.run(sender.send(target, pacing.closed(requests=1), label=catch, in_flight=1))
    found, body = caught[0] if caught else ({}, result.error.encode())
    return Answer(curl(target), result.status, found, body.decode("utf-8", "replace"), result.latency)


def curl(target: Target) -> str:
    """The curl command for the same request."""
    words = ["curl", "-i", target.url]
    if target.host:
        words += ["-H", f"Host: {target.host}"]
    for name, value in target.headers.items():
        words += ["-H", f"{name}: {value}"]
    if target.cookies:
        words += ["-b", "; ".join(f"{name}={value}" for name, value in target.cookies.items())]
    return shlex.join(words)


@dataclass(frozen=True)
class Traffic:
    """Many requests, counted by version. `traffic["v2"]` is a count, `traffic.share("v2")` a share from 0 to 1."""

    tally: Tally
    seconds: float

    def __getitem__(self, version: str) -> int:
        return self.tally.of(version)

    def share(self, version: str) -> float:
        """The share of all requests that `version` answered."""
        return self.tally.of(version) / self.tally.n

    def __repr__(self) -> str:
        rows = [*sorted(self.tally.versions.items()), *sorted((f"{name} (failed)", count) for name, count in self.tally.failures.items())]
        return "\n".join([f"{self.tally.n:,} requests in {self.seconds:.1f} s", *tables.shares(rows, self.tally.n)])


def traffic(
    n: int = 100,
    *,
    path: str = "/",
    host: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
) -> Traffic:
    """Send `n` requests to the ingress gateway and count the answers: by `v1`, `v2`, or a failure's code."""
    started = time.monotonic()
    found = answers(n, _target(path, host, headers, cookies))
    return Traffic(counted(found), time.monotonic() - started)


def answers(n: int, target: Target, *, at_once: int = IN_FLIGHT) -> tuple[Result, ...]:
    """`n` requests, `at_once` at a time, each labelled with the version in its header `x-version` or its page."""
    label = labels.only(labels.first(labels.header("x-version"), labels.body()))
    return background.run(sender.send(target, pacing.closed(requests=n), label=label, in_flight=min(at_once, n)))


def counted(results: tuple[Result, ...]) -> Tally:
    """The tally of results; an answer below 400 without a version counts as a failure, with a text of its own."""
    return expectations.tally(
        (result.version or None, f"{result.code} without a version" if result.ok else result.code) for result in results
    )


def _target(path: str, host: str, headers: Mapping[str, str] | None, cookies: Mapping[str, str] | None) -> Target:
    url = session.current().connection.ingress_url + "/" + path.lstrip("/")
    return Target(url, host=host, headers=dict(headers or {}), cookies=dict(cookies or {}))


def chance(n: int, share: float) -> Sentence:
    """Which counts a wanted `share` (0 to 1) allows among `n` requests, by exact binomial bounds at one false alarm in 10,000."""
    band = binomial.accepted(n, share)
    low, high = band.low / n, band.high / n
    return Sentence(
        f"{n:,} requests at a weight of {share:.0%}: from {band.low:,} to {band.high:,} may be chance ({low:.1%} to {high:.1%})"
    )


def how_many_requests(wanted: float, other: float) -> Sentence:
    """How many requests distinguish a split of `wanted` from one of `other` (shares from 0 to 1)."""
    n = binomial.requests_to_tell(wanted, other)
    return Sentence(f"about {n:,} requests distinguish {wanted:.0%} from {other:.0%} (wrong once in 10,000 one way, once in 100 the other)")
