"""One request inspected: the routes that the gateway tried, and the proxies that it passed."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshcourse.measure.passages import Passage
from meshcourse.measure.route_matching import Step, Verdict
from meshcourse.mesh.envoy.config_dump import Share
from meshcourse.widgets import palette

SIGNS: Final = {Verdict.TAKEN: "✔", Verdict.PASSED_OVER: "✘", Verdict.NOT_ASKED: "○", Verdict.CANNOT_TELL: "?"}
_CELL: Final = "padding:2px 12px 2px 0;text-align:left;border-bottom:1px solid rgba(128,128,128,0.3)"


@dataclass(frozen=True)
class Inspection:
    """One request: what was asked, which routes were tried, what came back (status 0: nothing) and where it passed.

    `names` says which pod an address belongs to.
    """

    asked: str
    steps: tuple[Step, ...] = ()
    status: int = 0
    seconds: float = 0.0
    fault: str = ""
    passages: tuple[Passage, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def taken(self) -> Step | None:
        """The route that decides, if it can be told."""
        return next((step for step in self.steps if step.verdict is Verdict.TAKEN), None)

    @property
    def chosen(self) -> Share | None:
        """Which of the taken route's destinations Envoy chose, by the gateway's log; None when the log tells of none of them."""
        if self.taken is None or not self.passages:
            return None
        return next((share for share in self.taken.route.shares if (share.host, share.subset) == self.passages[0].destination), None)


def routes(steps: Sequence[Step]) -> str:
    """The routes of the request's host in the order in which the gateway tries them."""
    rows = [
        (
            str(number),
            step.name,
            step.route.fits,
            step.route.goes,
            SIGNS[step.verdict],
            _verdict(step),
        )
        for number, step in enumerate(steps, 1)
    ]
    return table(
        ("", "route", "if", "then", "", "this request"),
        rows,
        {number for number, step in enumerate(steps) if step.verdict is Verdict.TAKEN},
    )


def _verdict(step: Step) -> str:
    return f"{step.verdict.value}: {step.why}" if step.why else step.verdict.value


def hops(passages: Sequence[Passage], names: Mapping[str, str]) -> str:
    """The proxies that the request passed, in the order of time."""
    rows = []
    for passage in passages:
        host, subset = passage.destination
        way = "in, to its own program" if passage.inward else f"out, to {Share(host, subset, 1).place}" if host else "no further"
        sent = "" if passage.inward else names.get(passage.address, passage.address.strip("-"))
        entry = passage.entry
        rows.append((passage.pod, way, sent, entry["code"], entry["flags"].strip("-"), f"{entry['duration']} ms", entry["code_details"]))
    return table(("proxy of", "way", "sent to pod", "status", "flags", "took", "who decided"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: Iterable[int] = ()) -> str:
    """Rows of plain text as an HTML table, those with the numbers `marked` on a coloured ground; nothing for no rows."""
    if not rows:
        return ""
    first = "".join(f'<th style="{_CELL}">{html.escape(name)}</th>' for name in head)
    body = ""
    for number, row in enumerate(rows):
        style = f"background:{palette.faint(palette.series(0))}" if number in marked else ""
        body += f'<tr style="{style}">{"".join(f"""<td style="{_CELL}">{html.escape(cell)}</td>""" for cell in row)}</tr>\n'
    return f'<table style="border-collapse:collapse;color:inherit;font-size:inherit">\n<tr>{first}</tr>\n{body}</table>\n'


def describe(found: Inspection) -> str:
    """The whole of it in one or two sentences."""
    came = (
        f"HTTP {found.status} after {1000 * found.seconds:.0f} ms"
        if found.status
        else f"No answer ({found.fault}) after {found.seconds:.1f} s"
    )
    return f"{came}. {_decided(found)}"


def _decided(found: Inspection) -> str:
    if not found.steps:
        return "The gateway has no route for this Host header: it says 404 by itself."
    if found.taken is None:
        unsure = next((step for step in found.steps if step.verdict is Verdict.CANNOT_TELL), None)
        return (
            f"Whether a route fits cannot be told: {unsure.why}." if unsure else "None of the gateway's routes fits: it says 404 by itself."
        )
    number = found.steps.index(found.taken) + 1
    name = f", {found.taken.name}," if found.taken.name else ""
    text = f"Route {number} of {len(found.steps)}{name} is the first whose conditions hold"
    if not found.passages:
        return f"{text}."
    if found.chosen is not None:
        total = sum(share.weight for share in found.taken.route.shares)
        by = f", {found.chosen.weight} of {total} by weight" if len(found.taken.route.shares) > 1 else ""
        return f"{text}; the gateway's log says the same: it went to {found.chosen.place}{by}."
    if not found.taken.route.shares or not found.passages[0].destination[0]:
        return f"{text}; the gateway went no further ({found.passages[0].entry['code_details']})."
    return f"{text}, but the gateway's log tells of another destination: the rules changed in between. Send it once more."
