"""A weight panel that runs for minutes: whether its memory stays flat, and how much of a core its kernel takes.

Comes in: a canary behind a gateway, how long and how fast. Goes out: one line of JSON. Who runs it: `make bench`, or by hand (--help).
A kernel with a live panel is this process: its load, its window, its figure four times a second. The figure's messages are made and
counted, and no browser takes them. CPU is this process's own time by the clock on the wall, so that other work on the machine does not
count as ours; memory is its resident set, read each second, and it is flat when the last quarter's median is not above the second's by more
than 5 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import psutil

from meshcourse.mesh.connection import Connection
from meshcourse.widgets.panels.weights import WeightPanel

MOST_CPU = 0.40
MOST_GROWTH = 0.05


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Run it."""
    namespace, name = options.virtual_service.split("/")
    connection = Connection(options.kubeconfig, options.url.rstrip("/"))
    here, memory = psutil.Process(), list[int]()
    with WeightPanel(connection, namespace=namespace, virtual_service=name, route=options.route) as panel:
        panel.start(rate=options.rate)
        time.sleep(min(5.0, options.seconds / 10))  # imports and first connections are not the run
        began, used, ticks = time.monotonic(), _seconds(here), panel.widgets.figure.tick
        while time.monotonic() - began < options.seconds:
            time.sleep(1.0)
            memory.append(here.memory_info().rss)
        wall = time.monotonic() - began
        cpu, drawn, found = (_seconds(here) - used) / wall, panel.widgets.figure.tick - ticks, panel.snapshot()
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


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--virtual-service", required=True, metavar="NAMESPACE/NAME")
    parser.add_argument("--route")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=200)
    print(json.dumps(measure(parser.parse_args(arguments))))  # noqa: T201 - the benchmark's output


if __name__ == "__main__":
    main()
