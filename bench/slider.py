"""How soon traffic follows a changed weight: from the write to the first answer of the version that had no weight before.

The write itself is part of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Final

from bench import arguments
from meshcourse.kube.connection import Connection
from meshcourse.measure import labels
from meshcourse.mesh.rules import weights
from meshcourse.traffic import pacing
from meshcourse.traffic.results import Result
from meshcourse.traffic.sender import Sender
from meshcourse.traffic.targets import Target

MUST_REACH: Final = 0.25
HISTOGRAMS: Final = ("pilot_debounce_time", "pilot_proxy_convergence_time")
SETTLED: Final = 0.4
"""Seconds of answers from the new version alone before the next change; longer than istiod's debouncing."""


class Flips:
    """Moves all weight back and forth, and times each change by the load that runs meanwhile."""

    def __init__(self, connection: Connection, namespace: str, name: str, route: str | None) -> None:
        self._route = (connection, namespace, name)
        self._name = route
        self._wanted = ""
        self._came = asyncio.Event()
        self._other = 0.0
        self.failed = 0

    def receive(self, result: Result) -> None:
        """Called with every answer."""
        if not result.ok:
            self.failed += 1
        elif result.version == self._wanted:
            self._came.set()
        else:
            self._other = time.monotonic()

    async def move(self, weights_now: dict[str, int]) -> tuple[float, float]:
        """(seconds from the write's start to the first answer, seconds of the write)."""
        self._wanted = next(version for version, weight in weights_now.items() if weight == 100)  # noqa: PLR2004 - per cent
        self._came.clear()
        began = time.monotonic()
        write = asyncio.create_task(asyncio.to_thread(self._write, weights_now))
        async with asyncio.timeout(30):
            await self._came.wait()
            seen = time.monotonic() - began
            written = await write - began
            await self._settled()
        return seen, written

    def _write(self, weights_now: dict[str, int]) -> float:
        connection, namespace, name = self._route
        weights.write(connection, namespace, name, weights_now, self._name)
        return time.monotonic()

    async def _settled(self) -> None:
        """Wait until the other version has not answered for long enough."""
        while (left := self._other + SETTLED - time.monotonic()) > 0:  # noqa: ASYNC110 - answers that still come move the end
            await asyncio.sleep(left)


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """Measure all changes."""
    namespace, name = options.virtual_service
    connection = arguments.connection(options)
    before = weights.read(connection, namespace, name, options.route)
    old, new = before
    flips = Flips(connection, namespace, name, options.route)
    async with Sender(Target(options.url), label=labels.body()) as sender:
        load = asyncio.create_task(sender.run(pacing.constant(options.rate), flips.receive))
        try:
            await flips.move({old: 100, new: 0})
            before_moves = _histograms(connection)
            times = [await flips.move({old: 100 * (turn % 2), new: 100 - 100 * (turn % 2)}) for turn in range(options.moves)]
            parts = _parts(times, before_moves, _histograms(connection))
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
            await asyncio.to_thread(weights.write, connection, namespace, name, before, options.route)
    seen = sorted(each for each, _ in times)
    return {
        "benchmark": "slider",
        "moves": len(times),
        "median_s": round(statistics.median(seen), 3),
        "p95_s": round(seen[max(0, round(0.95 * len(seen)) - 1)], 3),
        "max_s": round(seen[-1], 3),
        "write_median_s": round(statistics.median(written for _, written in times), 4),
        "mean_ms": parts,
        "failed_requests": flips.failed,
        "late_requests": sender.counts.late,
        "rate": options.rate,
        "must_reach_s": MUST_REACH,
        "ok": statistics.median(seen) <= MUST_REACH,
    }


def _histograms(connection: Connection) -> dict[str, tuple[float, float]]:
    """The (sum in seconds, count) so far, by histogram, in istiod's /metrics (port 15014; istio.io: istiod metrics)."""
    call = connection.core().connect_get_namespaced_service_proxy_with_path
    page = str(call("istiod:http-monitoring", "istio-system", "metrics"))
    return {name: (_total(page, f"{name}_sum"), _total(page, f"{name}_count")) for name in HISTOGRAMS}


def _total(page: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{")))


def _parts(
    times: list[tuple[float, float]], before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]
) -> dict[str, float]:
    """The parts of the mean change's time, in milliseconds. istiod counts its convergence from the end of debouncing (about 1 ms)."""
    debounce, push = ((after[name][0] - before[name][0]) / max(1.0, after[name][1] - before[name][1]) for name in HISTOGRAMS)
    seen, written = (statistics.fmean(each) for each in zip(*times, strict=True))
    parts = {"seen": seen, "api": written, "debounce": debounce, "push": push, "rest": seen - written - debounce - push}
    return {name: round(1000 * value, 1) for name, value in parts.items()}


def main() -> None:
    """Measure and print."""
    parser = arguments.of_a_route(__doc__, rate=500)
    parser.add_argument("--moves", type=int, default=50)
    print(json.dumps(asyncio.run(measure(parser.parse_args()))))  # noqa: T201 - the benchmark's output


if __name__ == "__main__":
    main()
