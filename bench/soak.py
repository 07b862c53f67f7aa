"""A weight panel that runs for minutes: whether its memory stays constant, and how much of a core its kernel takes.

The kernel with the live panel is this process: its load, its window, its figure four times a second. The figure's messages are made and
counted, and no browser receives them. CPU is this process's own time divided by wall-clock time, so that other work on the machine does not
count; memory is its resident set, read each second, and counts as constant when the last quarter's median is at most 5 % above the
second's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import psutil

from bench import arguments
from meshcourse.widgets.panels.weights import WeightPanel

MOST_CPU = 0.40
MOST_GROWTH = 0.05


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Run it."""
    namespace, name = options.virtual_service
    connection = arguments.connection(options)
    here, memory = psutil.Process(), list[int]()
    with WeightPanel(connection, namespace=namespace, virtual_service=name, route=options.route) as panel:
        panel.start(rate=options.rate)
        time.sleep(min(5.0, options.seconds / 10))  # imports and first connections do not count
        began, used, ticks = time.monotonic(), processor_seconds(here), panel.widgets.figure.tick
        while time.monotonic() - began < options.seconds:
            time.sleep(1.0)
            memory.append(here.memory_info().rss)
        wall = time.monotonic() - began
        cpu, drawn, found = (processor_seconds(here) - used) / wall, panel.widgets.figure.tick - ticks, panel.snapshot()
        panel.stop()
    quarter = len(memory) // 4
    early, late = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
    growth = late / early - 1
    return {
        "benchmark": "soak",
        "seconds": round(wall),
        "rate": options.rate,
        "cpu_of_a_core": round(cpu, 3),
        "memory_mb": [round(early / 1e6, 1), round(late / 1e6, 1)],
        "growth": round(growth, 4),
        "draws_per_second": round(drawn / wall, 2),
        "requests": found.counts.answered,
        "late_requests": found.counts.late,
        "failed_requests": found.counts.failed,
        "at_most": {"cpu_of_a_core": MOST_CPU, "growth": MOST_GROWTH},
        "ok": cpu <= MOST_CPU and growth <= MOST_GROWTH,
    }


def processor_seconds(process: psutil.Process) -> float:
    """The process's processor time in seconds since its start."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and print."""
    parser = arguments.of_a_route(__doc__, rate=200)
    parser.add_argument("--seconds", type=float, default=600)
    print(json.dumps(measure(parser.parse_args())))  # noqa: T201 - the benchmark's output


if __name__ == "__main__":
    main()
