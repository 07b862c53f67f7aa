"""The breaker panel's controls: its widgets, their style and their layout. No callbacks here.

Each has a CSS class (`mc-breaker-connections`, `mc-callers`, `mc-failing`, `mc-start`, ...), by which a browser test finds it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ipywidgets

from meshcourse.mesh.rules.breakers import Breaker
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import breaker as picture
from meshcourse.widgets.models.breaker import Standing, View
from meshcourse.widgets.panels import loaded, parts
from meshcourse.widgets.panels.loaded import Steering
from meshcourse.widgets.panels.parts import Widget

if TYPE_CHECKING:
    from meshcourse.widgets.panels.breaker import Snapshot

MOST_CALLERS: Final = 10
# (field of Breaker, Istio's name, least, most, note)
_SLIDERS: Final = (
    ("connections", "maxConnections", 0, 10, "0: no limit"),
    ("waiting", "http1MaxPendingRequests", 0, 10, "0: no limit"),
    ("errors", "consecutive5xxErrors", 0, 10, "0: no ejection"),
    ("seconds", "baseEjectionTime, s", 1, 60, "times the number of ejections"),
    ("floor", "minHealthPercent", 0, 100, "with fewer in use, ejections are ignored"),
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
    notes: Mapping[str, Widget]
    rule: Widget

    def inputs(self) -> tuple[Widget, ...]:
        """All widgets that a learner can move or press."""
        return (*self.sliders.values(), self.callers, self.failing, *self.steering.inputs())


def build(held: Breaker, *, failing: bool | None, callers: int, title: str, view: View) -> Controls:
    """All widgets; `failing` is None where there is no failing replica to add."""
    sliders, notes = {}, {}
    for name, text, least, most, _ in _SLIDERS:
        sliders[name] = parts.slider(text, f"mc-breaker-{name}", value=least, least=least, most=most, width="460px", words="190px")
        notes[name] = parts.words("mc-note")
    sliders["seconds"].value = 30
    crowd = parts.slider("callers", "mc-callers", value=callers, least=1, most=MOST_CALLERS, width="320px", words="60px")
    switch = ipywidgets.Checkbox(value=bool(failing), description="failing replica", indent=False, disabled=failing is None)
    switch.add_class("mc-failing")
    switch.layout.width = "auto"
    steering = loaded.steering("Let the callers send")
    rule, numbers, error, alt = (parts.words(name) for name in ("mc-rule", "mc-numbers", "mc-error", "mc-alt"))
    alt.value = parts.aloud(picture.describe(view))
    figure = live_figure.made(picture.figure(view))
    load = parts.row(*steering.inputs(), crowd, switch)
    rows = [parts.row(slider, notes[name]) for name, slider in sliders.items()]
    box = parts.boxed("mc-breaker-panel", parts.heading(title), *rows, rule, load, numbers, error, figure, alt)
    made = Controls(box, figure, sliders, crowd, switch, steering, numbers, error, alt, notes, rule)
    show(made, held)
    return made


def show(controls: Controls, held: Breaker) -> None:
    """Show a rule on the sliders. A slider whose field is not in the rule stays; a value beyond a slider's range extends the range."""
    for name, _, _, _, note in _SLIDERS:
        value = getattr(held, name)
        controls.notes[name].value = parts.caption(note + parts.put(controls.sliders[name], value))
    values = ", ".join(f"{name} {value}" for name, value in held.others)
    controls.rule.value = parts.caption(f"Also in the rule, without a slider: {values}.") if values else ""


def count(now: Snapshot, before: Mapping[str, int]) -> str:
    """The lines of numbers: requests sent, whether a limit is reached, what is ejected, and which ejections were prevented."""
    sent = f"{now.counts.begun:,} requests sent; last {now.summary.seconds:g} s: {now.summary.rate:.0f} answers a second"
    if now.summary.latency.p50 is not None:
        sent += f", median {1000 * now.summary.latency.p50:.0f} ms"
    if not now.counters:
        return sent
    lines = (sent, limits(now.counters, now.breaker), endpoints(now.standings), kept(now.counters, before, now.breaker))
    return "<br>".join(filter(None, lines))


def limits(counters: Mapping[str, int], breaker: Breaker) -> str:
    """Whether a limit is reached, by Envoy's own gauges: `cx_open` and `rq_pending_open` are 1 then."""
    active = counters.get("upstream_cx_active", 0)
    idle = max(0, active - counters.get("upstream_rq_active", 0))
    words = [
        _limit(f"{active} connections ({idle} of them idle)", breaker.connections, counters.get("circuit_breakers.default.cx_open", 0)),
        _limit(
            f"{counters.get('upstream_rq_pending_active', 0)} requests wait for one",
            breaker.waiting,
            counters.get("circuit_breakers.default.rq_pending_open", 0),
        ),
        f"{counters.get('upstream_rq_pending_overflow', 0):,} refused since this Envoy started",
    ]
    return " · ".join(words)


def _limit(now: str, limit: int, reached: int) -> str:
    if not limit:
        return f"{now}: no limit"
    return f"{now}: limit {limit} {'<b>reached</b>' if reached else 'not reached'}"


def endpoints(standings: tuple[Standing, ...]) -> str:
    """`httpbin 10.244.0.6: in use, 120 requests, 0 errors`, one after the other."""
    words = [
        f"{html.escape(each.name)}: {'<b>ejected</b>' if each.endpoint.ejected else 'in use'}, "
        f"{each.endpoint.requests:,} requests, {each.endpoint.errors:,} errors"
        for each in standings
    ]
    if standings and all(each.endpoint.ejected for each in standings):
        words.append("<b>none is left</b>")
    return " · ".join(words) or "no endpoint is known"


def kept(counters: Mapping[str, int], before: Mapping[str, int], breaker: Breaker) -> str:
    """Ejections that Envoy did not make, and those that it ignores: maxEjectionPercent and the panic threshold."""
    words = []
    if prevented := counters.get("outlier_detection.ejections_overflow", 0):
        most = dict(breaker.others).get("maxEjectionPercent", "10")
        words.append(f"{prevented:,} ejections were not made: maxEjectionPercent {most} allows no more")
    panic = "lb_healthy_panic"
    if before and counters.get(panic, 0) > before.get(panic, 0):
        words.append(f"<b>panic</b>: fewer than minHealthPercent {breaker.floor or 0} are in use, so ejected ones get requests too")
    return " · ".join(words)
