"""How soon a figure's change is visible: from the kernel, where a live panel has made it, to the painted frame in the browser.

The measurement ends in a task that the page posts from the first animation frame after plotly has drawn: by then that frame is painted
(HTML standard, "update the rendering"). The screen itself is not included, at 60 frames a second up to 17 ms. Both clocks are this
machine's. They are compared before and after by reading the page's time: it lies between request and answer, and half of that interval, the
error of every figure here, is reported as `clock_error_ms`. Ticks that the browser skipped for newer ones are counted, not timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import browsing
from real_cluster import RealCluster

from meshcourse.cluster import clusters
from meshcourse.widgets.panels.weights import TICK

CHAPTER: Final = "05-canary"
MANIFESTS: Final = ("01", "02", "03", "04", "05")
TICKS: Final = "ticks"
"""The file in which the kernel writes each tick and its time."""
CELL: Final = f"""
import time
panel = lab.weight_panel()
ticks = open({TICKS!r}, "w", buffering=1)
panel.widgets.figure.observe(lambda change: ticks.write(f"{{change['new']}} {{time.time()!r}}\\n"), names="tick")
panel.start(rate=50)
panel
"""
NOW: Final = "() => (performance.timeOrigin + performance.now()) / 1000"
WATCH: Final = """figure => {
    window.painted = [];
    const after = new MessageChannel();
    const waiting = [];
    after.port1.onmessage = () => painted.push([waiting.shift(), (performance.timeOrigin + performance.now()) / 1000]);
    const watcher = new MutationObserver(() => {
        const tick = Number(figure.dataset.tick);
        requestAnimationFrame(() => { waiting.push(tick); after.port2.postMessage(null); });
    });
    watcher.observe(figure, {attributes: true, attributeFilter: ['data-tick']});
}"""


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Open the panel, let it run, and match both sides' times."""
    executable = browsing.chromium()
    if executable is None:
        raise SystemExit("There is no Chromium on PATH.\nNext: sudo apt install chromium")
    cluster = RealCluster.of(clusters.get(options.name))
    with (
        tempfile.TemporaryDirectory() as scratch,
        browsing.opened(executable) as page,
        browsing.desk(cluster, page, Path(scratch), Path(scratch)) as desk,
    ):
        desk.ready(desk.apply(CHAPTER, *MANIFESTS), "web-v1", "web-v2")
        figure = desk.show(CHAPTER, CELL).locator(".js-plotly-plot").first
        figure.scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('.mc-panel .js-plotly-plot').dataset.tick > 20")  # a full window
        clocks = [_clock(page)]
        figure.evaluate(WATCH)
        page.wait_for_function("ticks => window.painted.length >= ticks", arg=options.ticks)
        painted = dict(page.evaluate("() => window.painted"))
        clocks.append(_clock(page))
        lines = (desk.folder / TICKS).read_text(encoding="ascii").splitlines()
        cluster.kubectl("delete", "namespace", *desk.namespaces)
    sent = {int(tick): float(at) for tick, at in map(str.split, lines)}
    ahead, error = min(clocks, key=lambda each: each[1])
    times = sorted(1000 * (at - ahead - sent[tick]) for tick, at in painted.items())
    skipped = max(painted) - min(painted) + 1 - len(painted)
    return {
        "benchmark": "paint",
        "ticks": len(times),
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[max(0, round(0.95 * len(times)) - 1)], 1),
        "max_ms": round(times[-1], 1),
        "left_out": skipped,
        "clock_error_ms": round(1000 * error, 2),
        "clocks_moved_ms": round(1000 * (clocks[1][0] - clocks[0][0]), 2),
        "must_reach_ms": 1000 * TICK,
        "ok": statistics.median(times) <= 1000 * TICK,
    }


def _clock(page: Any) -> tuple[float, float]:  # noqa: ANN401 - Playwright's
    """(seconds by which the page's clock is ahead of ours, the error of that): the best of 50 readings."""
    found = []
    for _ in range(50):
        asked = time.time()
        there = float(page.evaluate(NOW))
        answered = time.time()
        found.append((there - (asked + answered) / 2, (answered - asked) / 2))
    return min(found, key=lambda each: each[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", required=True, metavar="CLUSTER")
    parser.add_argument("--ticks", type=int, default=50)
    print(json.dumps(measure(parser.parse_args())))  # noqa: T201 - the benchmark's output


if __name__ == "__main__":
    main()
