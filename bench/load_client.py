"""How many requests per second the load client sends on one core: closed loop, 8 connections, against nginx in a separate process.

The client is bound to one core and nginx, if possible, to another. The figure is the median of three rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from meshcourse.engine import binaries
from meshcourse.measure import labels
from meshcourse.traffic import pacing
from meshcourse.traffic.results import Result
from meshcourse.traffic.sender import Sender
from meshcourse.traffic.targets import Target

MUST_REACH: Final = 8000
CONNECTIONS: Final = 8
ROUNDS: Final = 3
_CONFIGURATION: Final = """
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; keepalive_requests 100000000; default_type text/html;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "<h1>This is version v1</h1>\\n"; }} }}
}}
"""


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as home, nginx(Path(home), cores[-1]) as url:
        os.sched_setaffinity(0, cores[:1])
        try:
            rounds = [asyncio.run(once(url, seconds)) for _ in range(ROUNDS)]
        finally:
            os.sched_setaffinity(0, cores)
    best = sorted(rounds, key=lambda each: each["per_second"])[ROUNDS // 2]
    line = {
        "benchmark": "load_client",
        **best,
        "rounds": [each["per_second"] for each in rounds],
        "must_reach": MUST_REACH,
        "cores": len(cores),
    }
    print(json.dumps({**line, "ok": best["per_second"] >= MUST_REACH}))  # noqa: T201 - the benchmark's output


@contextlib.contextmanager
def nginx(home: Path, core: int) -> Iterator[str]:
    """A fast server on one core; ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "nginx.conf").write_text(_CONFIGURATION.format(home=home, port=port), encoding="utf-8")
    server = subprocess.Popen([binaries.nginx(), "-c", home / "nginx.conf", "-p", home], stderr=subprocess.DEVNULL)
    try:
        os.sched_setaffinity(server.pid, {core})
        ends = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if time.monotonic() > ends:
                message = "nginx did not start"
                raise RuntimeError(message)
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(10)


async def once(url: str, seconds: float) -> dict[str, float]:
    """One round: requests per second, by wall clock and by processor time, and latency in milliseconds."""
    latencies: list[float] = []

    def receive(result: Result) -> None:
        if not result.ok or result.version != "v1":
            message = f"a request failed: {result}"
            raise RuntimeError(message)
        latencies.append(result.latency)

    async with Sender(Target(url), label=labels.body(), in_flight=CONNECTIONS) as sender:
        await sender.run(pacing.closed(requests=2000), lambda _: None)
        wall, core = time.perf_counter(), time.process_time()
        await sender.run(pacing.closed(seconds=seconds), receive)
        wall, core = time.perf_counter() - wall, time.process_time() - core
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "per_second": round(len(latencies) / wall),
        "per_core_second": round(len(latencies) / core),
        "p50_ms": round(1000 * cuts[49], 3),
        "p99_ms": round(1000 * cuts[98], 3),
        "requests": len(latencies),
    }


if __name__ == "__main__":
    main()
