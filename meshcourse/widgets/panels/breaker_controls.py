"""The breaker panel's controls: which widgets there are, how they look and where they stand.

No callback is wired here.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import ipywidgets

from meshcourse.measure.windows import Summary
from meshcourse.mesh.rules.breakers import Breaker
from meshcourse.traffic.results import Counts
from meshcourse.widgets import live_figure
from meshcourse.widgets.figures import breaker as picture
from meshcourse.widgets.models.breaker import Standing, View
from meshcourse.widgets.panels import controls

Widget = Any  # ipywidgets has no types
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
    start: Widget
    stop: Widget
    numbers: Widget
    error: Widget
    alt: Widget

    def inputs(self) -> tuple[Widget, ...]:
        """Everything that a learner can move or press."""
        return (*self.sliders.values(), self.callers, self.failing, self.start, self.stop)

    def breaker(self) -> Breaker:
        """What the sliders show."""
        return Breaker(**{name: int(slider.value) for name, slider in self.sliders.items()})


def build(held: Breaker, *, failing: bool | None, callers: int, title: str, view: View) -> Controls:
    """All widgets; `failing` is None where there is no failing replica to bring in."""
    sliders = {name: _slider(text, getattr(held, name), least, most, f"mc-breaker-{name}") for name, text, least, most, _ in _SLIDERS}
    row = ipywidgets.Layout(flex_flow="row wrap")
    rows = [ipywidgets.HBox([sliders[name], ipywidgets.HTML(controls.caption(note))], layout=row) for name, _, _, _, note in _SLIDERS]
    crowd = _slider("callers", callers, 1, MOST_CALLERS, "mc-callers")
    switch = ipywidgets.Checkbox(value=bool(failing), description="failing replica", indent=False, disabled=failing is None)
    switch.add_class("mc-failing")
    switch.layout.width = "auto"
    start = controls.button("Start load", "mc-start", tooltip="Let the callers send", style="success")
    stop = controls.button("Stop load", "mc-stop", tooltip="Stop sending")
    stop.disabled = True
    numbers, error, alt = controls.words("mc-numbers"), controls.words("mc-error"), controls.words("mc-alt")
    alt.value = controls.caption(picture.describe(view))
    figure = live_figure.made(picture.figure(view))
    load = ipywidgets.HBox([start, stop, crowd, switch], layout=row)
    box = ipywidgets.VBox(
        [ipywidgets.HTML(f"<b>{html.escape(title)}</b>"), *rows, load, numbers, error, figure, alt],
        layout=controls.whole(),
    )
    box.add_class("mc-breaker-panel")
    return Controls(box, figure, sliders, crowd, switch, start, stop, numbers, error, alt)


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


def _slider(text: str, value: int, least: int, most: int, name: str) -> Widget:
    slider = ipywidgets.IntSlider(
        value=min(value, most),
        min=least,
        max=most,
        description=text,
        continuous_update=False,
        style={"description_width": "190px" if name.startswith("mc-breaker") else "60px"},
        layout=ipywidgets.Layout(width="460px" if name.startswith("mc-breaker") else "320px", max_width="100%"),
    )
    slider.add_class(name)
    return slider
