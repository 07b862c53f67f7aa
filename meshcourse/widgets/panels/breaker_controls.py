"""The breaker panel's controls: which widgets there are, how they look and where they stand. No callback is wired here.

Each has a CSS class (`mc-breaker-connections`, `mc-callers`, `mc-failing`, `mc-start`, ...), by which a browser test finds it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import ipywidgets

from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules.breakers import Breaker
from meshcourse.traffic.results import Counts
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import breaker as picture
from meshcourse.widgets.models.breaker import Standing, View
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import Steering
from meshcourse.widgets.panels.parts import Widget

MOST_CALLERS: Final = 10
# (field of Breaker, what Istio calls it, least, most, what to know)
_SLIDERS: Final = (
    ("connections", "maxConnections", 0, 10, "0: no limit"),
    ("waiting", "http1MaxPendingRequests", 0, 10, "0: no limit"),
    ("errors", "consecutive5xxErrors", 0, 10, "0: nobody is put out"),
    ("seconds", "baseEjectionTime, s", 1, 60, "times the number of ejections"),
    ("floor", "minHealthPercent", 0, 100, "with fewer in, ejections are ignored"),
)


@dataclass(frozen=True)
class Controls:
    """The widgets. `sliders` are named after the fields of Breaker."""

    box: Widget
    figure: Widget
    sliders: Mapping[str, Widget]
    callers: Widget
    failing: Widget
    steering: Steering
    numbers: Widget
    error: Widget
    alt: Widget

    def inputs(self) -> tuple[Widget, ...]:
        """Everything that a learner can move or press."""
        return (*self.sliders.values(), self.callers, self.failing, *self.steering.inputs())


def build(held: Breaker, *, failing: bool | None, callers: int, title: str, view: View) -> Controls:
    """All widgets; `failing` is None where there is no failing replica to bring in."""
    sliders, rows = {}, []
    for name, text, least, most, note in _SLIDERS:
        value, css = min(getattr(held, name), most), f"mc-breaker-{name}"
        sliders[name] = parts.slider(text, css, value=value, least=least, most=most, width="460px", words="190px")
        rows.append(parts.row(sliders[name], ipywidgets.HTML(parts.caption(note))))
    crowd = parts.slider("callers", "mc-callers", value=callers, least=1, most=MOST_CALLERS, width="320px", words="60px")
    switch = ipywidgets.Checkbox(value=bool(failing), description="failing replica", indent=False, disabled=failing is None)
    switch.add_class("mc-failing")
    switch.layout.width = "auto"
    steering = loaded.steering("Let the callers send")
    numbers, error, alt = parts.words("mc-numbers"), parts.words("mc-error"), parts.words("mc-alt")
    alt.value = parts.caption(picture.describe(view))
    figure = live_figure.made(picture.figure(view))
    load = parts.row(*steering.inputs(), crowd, switch)
    box = parts.boxed("mc-breaker-panel", parts.heading(title), *rows, load, numbers, error, figure, alt)
    return Controls(box, figure, sliders, crowd, switch, steering, numbers, error, alt)


def count(counts: Counts, summary: Summary, counters: Mapping[str, int], standings: tuple[Standing, ...]) -> str:
    """The lines of numbers: what was sent, where the circuit stands, and who is out."""
    sent = f"{counts.begun:,} requests sent; last {summary.seconds:g} s: {summary.rate:.0f} answers a second"
    if summary.latency.p50 is not None:
        sent += f", median {1000 * summary.latency.p50:.0f} ms"
    if not counters:
        return sent
    return f"{sent}<br>{circuit(counters)}<br>{endpoints(standings)}"


def circuit(counters: Mapping[str, int]) -> str:
    """Envoy's own words for a limit that is reached: the gauges `cx_open` and `rq_pending_open` are 1."""
    full = {
        "connections": counters.get("circuit_breakers.default.cx_open", 0),
        "waiting requests": counters.get("circuit_breakers.default.rq_pending_open", 0),
    }
    state = f"<b>open</b>: the limit of {' and of '.join(name for name, open_ in full.items() if open_)} is reached"
    now = f"{counters.get('upstream_cx_active', 0)} connections, {counters.get('upstream_rq_pending_active', 0)} waiting"
    refused = f"{counters.get('upstream_rq_pending_overflow', 0):,} refused since this Envoy began"
    return f"circuit {state if any(full.values()) else 'closed'} ({now}; {refused})"


def endpoints(standings: tuple[Standing, ...]) -> str:
    """`httpbin 10.244.0.6: in, 120 requests, 0 errors`, one after the other."""
    words = [
        f"{html.escape(each.name)}: {'<b>put out</b>' if each.endpoint.ejected else 'in'}, "
        f"{each.endpoint.requests:,} requests, {each.endpoint.errors:,} errors"
        for each in standings
    ]
    return " · ".join(words) or "no endpoint is known"
